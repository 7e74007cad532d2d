"""Validates after every round, keeps the best weights, writes the checkpoint to resume from, and says how it goes."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning
from safetensors.torch import load_file, save_file

from genrec.errors import ConfigError
from genrec.training.module import TrainingModule
from genrec.training.validation import Validator

METRIC = "val/ndcg@10"
BEST_FILE = "best.safetensors"
LAST_FILE = "last.ckpt"


class RoundKeeper(lightning.Callback):
    """At the end of a round: validate, keep the weights if they are the best so far, then write the checkpoint.

    In that order, so that a kill between the two leaves a checkpoint that repeats the round and writes the same best weights.

    Args:
        validator: measures ``val/ndcg@10``.
        work: folder that survives a kill.
        patience: rounds without a better score before training stops; None never stops early.
        say: prints a line.
        track: told each round, also those before a kill.
    """

    def __init__(
        self,
        validator: Validator,
        work: Path,
        patience: int | None,
        say: Callable[[str], None],
        track: Callable[[Mapping[str, float]], None],
    ) -> None:
        self.validator, self.work, self.patience, self.say, self.track = validator, work, patience, say, track
        self.history: list[dict[str, float]] = []
        self._started = self._round_started = time.perf_counter()
        self._rounds_here = self._targets_before = 0

    @property
    def best(self) -> dict[str, float] | None:
        """The best round so far (the last one where nothing can be validated)."""
        if not self.history:
            return None
        return max(self.history, key=lambda row: row.get(METRIC, row["round"]))

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        for row in self.history:
            self.track(row)
        if self._out_of_patience():  # killed between the checkpoint and the stop
            trainer.should_stop = True

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._round_started = time.perf_counter()
        self._targets_before = pl_module.targets_seen  # type: ignore[assignment]

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        seconds = time.perf_counter() - self._round_started
        loss = float(trainer.callback_metrics["train/loss"])
        if not math.isfinite(loss):
            got = f"{loss} at step {trainer.global_step}"
            raise ConfigError("train/loss", expected="a finite number", got=got, fix="lower train.lr or use precision=fp32")
        row: dict[str, float] = {"round": trainer.current_epoch, "step": trainer.global_step, "targets": pl_module.targets_seen}
        row |= {key: float(part) for key, part in trainer.callback_metrics.items() if key.startswith("train/")}
        row |= self.validator.measure(pl_module.generator)
        self.history.append(row)
        self.track(row)
        if self.best is row:
            tensors = {name: tensor.contiguous() for name, tensor in pl_module.generator.state_dict().items()}
            save_file(tensors, self.work / f"{BEST_FILE}.tmp")
            os.replace(self.work / f"{BEST_FILE}.tmp", self.work / BEST_FILE)
        trainer.save_checkpoint(self.work / f"{LAST_FILE}.tmp")
        os.replace(self.work / f"{LAST_FILE}.tmp", self.work / LAST_FILE)
        self._tell(row, seconds, pl_module)
        if self._out_of_patience():
            self.say(f"no better {METRIC} for {self.patience} rounds: stopping")
            trainer.should_stop = True

    def load_best(self, module: TrainingModule) -> None:
        """Puts the best weights into the generator."""
        module.generator.load_state_dict(load_file(self.work / BEST_FILE))

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = list(state_dict["history"])

    def _out_of_patience(self) -> bool:
        if self.patience is None or self.best is None:
            return False
        return self.history[-1]["round"] - self.best["round"] >= self.patience

    def _tell(self, row: dict[str, float], seconds: float, module: TrainingModule) -> None:
        self._rounds_here += 1
        left = (time.perf_counter() - self._started) / self._rounds_here * (module.num_rounds - len(self.history))
        speed = (module.targets_seen - self._targets_before) / max(seconds, 1e-9)
        score = f"{METRIC} {row[METRIC]:.4f}" if METRIC in row else "no validation targets"
        mark = " (best)" if self.best is row else ""
        self.say(
            f"  round {len(self.history)}/{module.num_rounds}: loss {row['train/loss']:.3f}, {score}{mark}, "
            f"{speed:,.0f} targets/s, {left / 60:.1f} min left"
        )
