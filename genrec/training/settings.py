"""How a generator is trained: the ``train`` group of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genrec.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Budgets are counted in targets and steps, never in minutes.

    Validation, checkpoints and the log keep intervals of their own; those of checkpoints and log change no weight, so they
    enter no fingerprint.

    Args:
        epochs: passes over all training targets.
        max_targets: stop the schedule after about this many targets, or None for all ``epochs``.
        lr: peak learning rate of AdamW.
        weight_decay: on matrices only.
        betas: AdamW's.
        warmup_steps: steps of linear warm-up.
        decay: learning rate after the warm-up, for x = the share of steps left: "sqrt" (x ** 0.5), "linear" (x) or "constant".
        clip: largest norm of the gradient.
        batch_states: history positions per batch, about.
        crop_rate: share of sequences cut in two at a random place, anew in each epoch.
        num_validations: how often the model is validated and a checkpoint written; the best one on ``val/ndcg@10`` is kept.
        accumulate: parts of a batch that are computed one after the other and make one step: the memory of a part, the gradient
            of the whole batch. ``batch_states`` counts the whole batch.
        log_every_n_steps: steps between two entries of the log and the trackers: loss and its parts, learning rate, ...
        checkpoint_minutes: minutes between two checkpoints within a round; None: there are only those of validations.
        patience: stop after so many validations without a better one; None never stops early.
        validation_users: size of the fixed sample of users for validation.
        validation_beams: beams of the decoder in validation, where it has any.
        precision: "fp32", "bf16" (autocast), or "auto": bf16 where the device computes in it.
        init_from: generator artifact (folder) to start from; its content enters the fingerprint.
        seed: of the initial weights, the order of batches and every random draw.
        targets: kinds of events (``event_type``) that are predicted, or the least number of a column with which an event is,
            such as ``{rating: 4}``; all others are context only. None: all are predicted.
        weight: how much an event counts as a target: the name of a column of numbers, or a mapping of its kind to a number
            (kinds that are not in it count 1); None: all alike. Weights are divided by their mean.
        devices: processes on each machine, as ``torchrun`` starts them; None: as many as it started. It changes no result
            but by rounding and dropout, so it stays out of the fingerprint.
        num_nodes: machines; None: as many as there are.
    """

    epochs: int = 30
    max_targets: int | None = None
    lr: float = 1.5e-3
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    warmup_steps: int = 100
    decay: Literal["sqrt", "linear", "constant"] = "sqrt"
    clip: float = 1.0
    batch_states: int = 300
    crop_rate: float = 0.0
    num_validations: int = 15
    patience: int | None = None
    validation_users: int = 3000
    validation_beams: int = 20
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    init_from: Path | None = None
    seed: int = 0
    targets: Sequence[str] | Mapping[str, float] | None = None
    weight: str | Mapping[str, float] | None = None
    accumulate: int = 1
    log_every_n_steps: int = 50
    checkpoint_minutes: float | None = 10.0
    devices: int | None = None
    num_nodes: int | None = None

    def __post_init__(self) -> None:
        counts = ("epochs", "batch_states", "num_validations", "validation_users", "max_targets", "patience")
        for key in (*counts, "accumulate", "log_every_n_steps", "devices", "num_nodes"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"train.{key}", expected="at least 1", got=value, fix="raise it")
        if self.lr < 0:
            raise ConfigError("train.lr", expected="0 or more", got=self.lr, fix="raise it")
        if self.clip <= 0:
            raise ConfigError("train.clip", expected="a number above 0", got=self.clip, fix="raise it")
        if self.checkpoint_minutes is not None and not self.checkpoint_minutes > 0:
            fix = "null writes one at each validation only"
            raise ConfigError("train.checkpoint_minutes", expected="a number above 0", got=self.checkpoint_minutes, fix=fix)
        if self.validation_beams < 10:
            raise ConfigError(
                "train.validation_beams",
                expected="at least 10 (ndcg@10 is measured)",
                got=self.validation_beams,
                fix="raise it",
            )
        if not 0 <= self.crop_rate <= 1:
            raise ConfigError("train.crop_rate", expected="a share in [0, 1]", got=self.crop_rate, fix="0 cuts no sequence")

    def lr_at(self, step: int, progress: float) -> float:
        """Learning rate of a step; a function of the step alone."""
        decayed = {"sqrt": (1 - progress) ** 0.5, "linear": 1 - progress, "constant": 1.0}[self.decay]
        return self.lr * min(1.0, (step + 1) / max(self.warmup_steps, 1)) * decayed
