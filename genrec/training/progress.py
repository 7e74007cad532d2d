"""A progress bar over all steps of training, with an ETA."""

from __future__ import annotations

from typing import Any

import lightning
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class StepProgress(lightning.Callback):
    """Shows step, loss, time spent and time left; nothing when the output is not a terminal (rounds are printed anyway)."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps
        self.bar = Progress(
            TextColumn("  train"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            transient=True,
        )

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.bar.console.is_terminal:
            self.bar.start()
        self.task = self.bar.add_task("train", total=self.num_steps, completed=trainer.global_step, loss=float("nan"))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.bar.console.is_terminal:
            self.bar.update(self.task, completed=trainer.global_step, loss=float(outputs["loss"]))

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        self.bar.stop()
