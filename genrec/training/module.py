"""The Lightning module: one objective, one generator, a schedule that is a function of the step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.engine.os_errors import is_out_of_memory
from genrec.protocols import LossTerms, Objective
from genrec.training.nan_checks import check_loss
from genrec.training.oom_split import in_halves
from genrec.training.plan import BatchPlan, TrainingBatch
from genrec.training.rollouts import Rollouts
from genrec.training.settings import TrainSettings


class Round:
    """The batches between two validations; a Lightning "epoch"."""

    def __init__(self, plan: BatchPlan, first_step: int, last_step: int) -> None:
        self.plan, self.first_step, self.last_step = plan, first_step, last_step

    def __len__(self) -> int:
        return self.last_step - self.first_step

    def __iter__(self) -> Iterator[TrainingBatch]:
        return self.plan.batches(self.first_step, self.last_step)


class TrainingModule(lightning.LightningModule):
    """Trains ``generator`` on ``objective``.

    Everything random in a step comes from (seed, step) and the learning rate from the step, so a run that was killed and
    resumed from a checkpoint is the run that was not.

    A batch that memory has no room for is trained in two halves (see ``in_halves``), and so is every later one of its size.
    """

    def __init__(
        self,
        generator: nn.Module,
        objective: Objective,
        plan: BatchPlan,
        settings: TrainSettings,
        rollouts: Rollouts | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.objective, self.plan, self.settings, self.rollouts, self.say = objective, plan, settings, rollouts, say
        self.num_rounds = min(settings.num_validations, plan.num_batches)
        self.targets_seen = 0
        self._room: int | None = None  # states of a batch that memory had no room for

    def round_bounds(self, number: int) -> tuple[int, int]:
        """First and last (exclusive) step of a round."""
        total = self.plan.num_batches
        return number * total // self.num_rounds, (number + 1) * total // self.num_rounds

    def train_dataloader(self) -> Round:
        return Round(self.plan, *self.round_bounds(self.current_epoch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        parameters = [p for p in self.generator.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": self.settings.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        # The fused step is one pass over the weights on every device; it also keeps its step counters as tensors.
        return torch.optim.AdamW(groups, lr=self.settings.lr, betas=self.settings.betas, fused=True)

    def transfer_batch_to_device(self, batch: TrainingBatch, device: torch.device, dataloader_idx: int) -> TrainingBatch:
        return TrainingBatch(batch.batch.to(device), batch.step, batch.progress)

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        self._batch = batch
        seed = self.settings.seed * 1_000_003 + batch.step
        torch.manual_seed(seed)
        if self.rollouts is not None:
            self.rollouts.seed = seed
        lr = self.settings.lr_at(batch.step, batch.progress)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = lr

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        if self._fits(batch.batch):
            terms = self._loss(batch.batch)
            loss, self._terms = terms.total, replace(terms, total=terms.total.detach())  # no graph outlives its step
        else:
            loss, self._terms = in_halves(self._loss, batch.batch, self.generator.parameters())
        check_loss(loss, batch.step, self.plan)
        return loss

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        whole, batch = self._fits(self._batch.batch), self._batch.batch
        try:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
            return
        except (RuntimeError, MemoryError) as error:
            if not whole or len(batch) < 2 or not is_out_of_memory(error):
                raise
        # Here the error is gone, and with it what its traceback held in memory.
        self._room = batch.history.numel()
        self.say(f"  out of memory at step {self._batch.step}: batches as long ({self._room:,} states) are trained in halves")
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips here, since Lightning's autocast clips for no fused optimizer: in fp16 that one scales gradients itself."""
        torch.nn.utils.clip_grad_norm_(
            [p for group in optimizer.param_groups for p in group["params"]], max_norm=self.settings.clip
        )

    def on_train_batch_end(self, outputs: Any, batch: TrainingBatch, batch_idx: int) -> None:
        num_targets = batch.batch.num_targets
        self.targets_seen += num_targets
        figures = {"train/loss": self._terms.total} | {f"train/loss_{name}": part for name, part in self._terms.parts.items()}
        self.log_dict(figures, on_step=False, on_epoch=True, batch_size=num_targets)  # a round's mean per target

    def _fits(self, batch: Batch) -> bool:
        return self._room is None or batch.history.numel() < self._room

    def _loss(self, batch: Batch) -> LossTerms:
        return self.objective.loss(self.generator, batch, self.rollouts)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["targets_seen"] = self.targets_seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.targets_seen = checkpoint["targets_seen"]
