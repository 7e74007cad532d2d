"""The Lightning module: one objective, one generator, and a schedule that is a function of the step.

Training stops at the first loss, or the first weight, that is no number: everything after it would be none either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import lightning
import polars as pl
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.decoding.trie_beam import TrieBeam
from genrec.decoding.trie_sampling import TrieSampling
from genrec.engine.machine import is_out_of_memory
from genrec.errors import ConfigError
from genrec.nn.blocks import without_dropout
from genrec.protocols import (
    AutoregressiveGenerator,
    DecodingRequest,
    DecodingStrategy,
    LossTerms,
    Objective,
    ScheduledObjective,
)
from genrec.training.plan import BatchPlan, TrainingBatch
from genrec.training.settings import TrainSettings

_FIX = "lower train.lr or train.clip, or use precision=fp32; the checkpoint before it is kept"


def check_loss(loss: Tensor, step: int, plan: BatchPlan) -> None:
    """Checks the loss of a step.

    Raises:
        ConfigError: with the step and the epoch.
    """
    if not torch.isfinite(loss):
        raise ConfigError(
            "train/loss", expected="a finite number", got=f"{float(loss.detach())} {_position(step, plan)}", fix=_FIX
        )


def check_weights(generator: nn.Module, step: int, plan: BatchPlan) -> None:
    """Checks what the last step of a round left, before it is written over the last good checkpoint.

    Args:
        generator: trained.
        step: the last one.
        plan: of the batches.

    Raises:
        ConfigError: with the name of a weight, the step and the epoch.
    """
    for name, weight in generator.named_parameters():
        if not torch.isfinite(weight).all():
            got = f"one that is none {_position(step, plan)}"
            raise ConfigError(f"weights of {name}", expected="finite numbers", got=got, fix=_FIX)


def check_scores(scores: pl.Series, step: int, plan: BatchPlan) -> None:
    """Checks what the weights of a round make of the validation users: finite weights may be too large to compute with.

    Args:
        scores: of all that was listed for them; none at all is no better.
        step: the last one.
        plan: of the batches.

    Raises:
        ConfigError: with the first such score, the step and the epoch.
    """
    odd = scores.filter(~scores.is_finite())
    if len(odd) or not len(scores):
        got = f"{odd[0] if len(odd) else 'no items'} {_position(step, plan)}"
        raise ConfigError("validation lists", expected="items with finite scores", got=got, fix=_FIX)


def divergence(history: Sequence[Mapping[str, float]], num_items: int, lr: float) -> str | None:
    """A sentence on a training that went astray, with what to try, or None.

    Astray is a loss far above that of guessing among all items, or far above what it was before.

    Args:
        history: the rounds.
        num_items: of the catalogue.
        lr: the peak learning rate.
    """
    round_losses = [row["train/loss"] for row in history if "train/loss" in row]
    if not round_losses:
        return None
    guessing, lowest, last = math.log(max(num_items, 2)), min(round_losses), round_losses[-1]
    if max(round_losses) <= 20 * (1 + guessing) and last - lowest <= max(lowest, 0.0) + 5:
        return None
    worst = max(round_losses)
    return (
        f"training diverged: its loss is {last:,.4g} in the last round, {lowest:,.4g} in the best, {worst:,.4g} in the worst "
        f"(guessing: about {guessing:.1f}); try train.lr={min(lr / 10, 1e-3):g}"
    )


def _position(step: int, plan: BatchPlan) -> str:
    return f"at step {step} of {plan.num_batches} (epoch {plan.epoch_of(step)} of {plan.num_epochs})"


def in_halves(loss: Callable[[Batch], LossTerms], batch: Batch, parameters: Iterable[nn.Parameter]) -> tuple[Tensor, LossTerms]:
    """The loss of a batch, of which only half is ever in memory.

    Each half counts by its share of the targets, so loss and gradient are those of the whole for every objective whose loss is
    a mean over targets; one that contrasts the rows of a batch sees the rows of a half. Dropout draws anew.

    Args:
        loss: mean per target.
        batch: at least two rows.
        parameters: to train.

    Returns:
        A scalar with the value of the loss whose gradient is the sum of the halves', and the terms for the log.
    """
    weights = [parameter for parameter in parameters if parameter.requires_grad]
    sums: list[Tensor | None] = [None] * len(weights)
    value, parts = torch.zeros(()), dict[str, Tensor]()
    for half in batch.split(-(-len(batch) // 2)):
        share = half.num_targets / max(batch.num_targets, 1)
        if not share:
            continue
        terms = loss(half)
        gradients = torch.autograd.grad(terms.total * share, weights, allow_unused=True)  # the graph of this half ends here
        sums = [old if new is None else new if old is None else old + new for old, new in zip(sums, gradients, strict=True)]
        value = value.to(terms.total) + share * terms.total.detach()
        for name, part in terms.parts.items():
            parts[name] = parts.get(name, 0) + share * part
    products = [(weight * fixed).sum() for weight, fixed in zip(weights, sums, strict=True) if fixed is not None]
    carrier = torch.stack(products).sum()  # weights times constants, which are its gradient
    return value + (carrier - carrier.detach()), LossTerms(value, parts)


class Rollouts:
    """A ``Sampler`` over the whole catalogue, items of the history included: what the generator was trained to predict.

    Args:
        trie: of the catalogue.
    """

    def __init__(self, trie: PrefixTrie) -> None:
        self.trie = trie
        self.seed = 0  # of the draws; training sets it at every step

    def best(self, generator: AutoregressiveGenerator, batch: Batch, k: int) -> Int64[Tensor, "batch k"]:
        """The ``k`` most probable items that ``k`` beams find, best first; ``PAD`` where there are fewer."""
        return self._decoded(TrieBeam(num_beams=k), generator, batch, k)

    def drawn(self, generator: AutoregressiveGenerator, batch: Batch, k: int) -> Int64[Tensor, "batch k"]:
        """``k`` distinct items drawn from the generator's distribution, in the order of the draw."""
        return self._decoded(TrieSampling(seed=self.seed), generator, batch, k)

    def _decoded(
        self, strategy: DecodingStrategy, generator: AutoregressiveGenerator, batch: Batch, k: int
    ) -> Int64[Tensor, "batch k"]:
        if self.trie.device != batch.history.device:
            self.trie = self.trie.to(batch.history.device)
        with without_dropout(generator):  # type: ignore[arg-type]
            decoded = strategy.decode(generator, self.trie, DecodingRequest(batch, k))
        return decoded.items[:, :k].clone()  # decoders run in inference mode, whose tensors no gradient may pass


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
        log: Callable[[str], None] = print,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.objective, self.plan, self.settings, self.rollouts, self.log_line = objective, plan, settings, rollouts, log
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
        if isinstance(self.objective, ScheduledObjective):
            self.objective.progress = batch.progress
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
        step = self._batch.step
        self.log_line(f"  out of memory at step {step}: batches as long ({self._room:,} states) are trained in halves")
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
