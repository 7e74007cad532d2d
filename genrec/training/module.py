"""The Lightning module: one objective, one generator, and a schedule that is a function of the step.

Training stops at the first loss, or the first weight, that is no number: everything after it would be none either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import lightning
import polars as pl
import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.decoding.trie_beam import TrieBeam
from genrec.decoding.trie_sampling import TrieSampling
from genrec.engine.machine import is_out_of_memory
from genrec.engine.processes import Processes
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


def in_parts(
    loss: Callable[[Batch], LossTerms], batch: Batch, parameters: Iterable[nn.Parameter], num_parts: int
) -> tuple[Tensor, LossTerms]:
    """The loss of a batch, of which only one part is ever in memory: gradient accumulation.

    Each part counts by its share of the targets, so loss and gradient are those of the whole for every objective whose loss is
    a mean over targets; one that contrasts the rows of a batch sees the rows of a part. Dropout draws anew.

    Args:
        loss: mean per target.
        batch: split by rows.
        parameters: to train.
        num_parts: at most so many; a batch of fewer rows has as many parts as rows.

    Returns:
        A scalar with the value of the loss whose gradient is the sum of the parts', and the terms for the log.
    """
    weights = [parameter for parameter in parameters if parameter.requires_grad]
    sums: list[Tensor | None] = [None] * len(weights)
    value, parts = torch.zeros(()), dict[str, Tensor]()
    for rows in batch.split(-(-len(batch) // num_parts)):
        share = rows.sum_of_weights / max(batch.sum_of_weights, 1e-12)
        if not share:
            continue
        terms = loss(rows)
        gradients = torch.autograd.grad(terms.total * share, weights, allow_unused=True)  # the graph of this part ends here
        sums = [old if new is None else new if old is None else old + new for old, new in zip(sums, gradients, strict=True)]
        value = value.to(terms.total) + share * terms.total.detach()
        for name, part in terms.parts.items():
            parts[name] = parts.get(name, 0) + share * part
    products = [(weight * fixed).sum() for weight, fixed in zip(weights, sums, strict=True) if fixed is not None]
    carrier = torch.stack(products).sum()  # weights times constants, which are its gradient
    return value + (carrier - carrier.detach()), LossTerms(value, parts)


class Means:
    """Running means per target of a loss and its parts, without a wait for the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, figures: Mapping[str, Tensor], num_targets: int) -> None:
        """Adds the means of one batch."""
        for key, figure in figures.items():
            figure = figure.detach().to(torch.promote_types(figure.dtype, torch.float32))
            self._sums[key] = self._sums.get(key, 0) + figure * num_targets
            self._counts[key] = self._counts.get(key, 0) + num_targets

    def take(self) -> dict[str, float]:
        """Returns the means of all that was added since the last call, and begins anew."""
        means = {key: float(total / max(self._counts[key], 1)) for key, total in self._sums.items()}
        self.__init__()  # type: ignore[misc]
        return means

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        self._sums = {key: total.to(device) for key, total in state["sums"].items()}
        self._counts = dict(state["counts"])


def sum_over(here: Processes, parameters: Iterable[nn.Parameter], terms: LossTerms, share: float) -> LossTerms:
    """Puts the gradient of a whole batch into the parameters, and returns the terms of its loss.

    A parameter that no process used has no gradient after it, as in one process.

    Args:
        here: the processes, each with the gradient of its rows' loss times their share.
        parameters: to train.
        terms: of this process's rows, without the share.
        share: of this process.
    """
    weights = [parameter for parameter in parameters if parameter.requires_grad]
    figures = torch.stack([terms.total, *terms.parts.values()]).detach().float() * share
    used = torch.tensor([parameter.grad is not None for parameter in weights], dtype=torch.float32, device=figures.device)
    here.sum([figures, used])
    trained = [parameter for parameter, count in zip(weights, used.tolist(), strict=True) if count]
    for parameter in trained:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    here.sum([parameter.grad for parameter in trained if parameter.grad is not None])
    return LossTerms(figures[0], dict(zip(terms.parts, figures[1:], strict=True)))


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
    """The batches between two validations; a Lightning "epoch". After a kill in the middle of one, iteration begins there."""

    def __init__(self, plan: BatchPlan, first_step: int, last_step: int, begin: int) -> None:
        self.plan, self.first_step, self.last_step, self.begin = plan, first_step, last_step, begin

    def __len__(self) -> int:
        return self.last_step - self.first_step

    def __iter__(self) -> Iterator[TrainingBatch]:
        return self.plan.batches(self.begin, self.last_step)


class TrainingModule(lightning.LightningModule):
    """Trains ``generator`` on ``objective``.

    Everything random in a step comes from (seed, step) and the learning rate from the step, so a run that was killed and
    resumed from a checkpoint is the run that was not.

    A batch is trained in ``accumulate`` parts (see ``in_parts``). One that memory has no room for is trained in twice as many,
    and so is every later one of its size.

    Several processes share the rows of each batch. They meet once a step, where the gradients are added up, so that one of
    them may go on in smaller parts alone.
    """

    def __init__(
        self,
        generator: nn.Module,
        objective: Objective,
        plan: BatchPlan,
        settings: TrainSettings,
        rollouts: Rollouts | None = None,
        log: Callable[[str], None] = print,
        here: Processes | None = None,
    ) -> None:
        super().__init__()
        self.here = here or Processes()
        self.generator = generator
        self.objective, self.plan, self.settings, self.rollouts, self.log_line = objective, plan, settings, rollouts, log
        self.num_rounds = min(settings.num_validations, plan.num_batches)
        self.targets_seen = 0
        self.round_means, self.step_means = Means(), Means()  # since the last validation, and since the last line of the log
        self.count_flops = False  # whether the next step counts its operations
        self.flops: int | None = None
        self.gradient_norm: Tensor | None = None  # of the last step, before clipping
        self._room: int | None = None  # states of a batch that memory had no room for

    def round_bounds(self, number: int) -> tuple[int, int]:
        """First and last (exclusive) step of a round."""
        total = self.plan.num_batches
        return number * total // self.num_rounds, (number + 1) * total // self.num_rounds

    def train_dataloader(self) -> Round:
        first_step, last_step = self.round_bounds(self.current_epoch)
        return Round(self.plan, first_step, last_step, begin=max(first_step, min(self.trainer.global_step, last_step)))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        parameters = [p for p in self.generator.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": self.settings.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        # The fused step is one pass over the weights on every device; it also keeps its step counters as tensors.
        return torch.optim.AdamW(groups, lr=self.settings.lr, betas=self.settings.betas, fused=True)

    def transfer_batch_to_device(self, batch: TrainingBatch, device: torch.device, dataloader_idx: int) -> TrainingBatch:
        batch = batch if self.here.world == 1 else batch.part(self.here)
        return replace(batch, batch=batch.batch.to(device))

    def on_train_batch_start(self, batch: TrainingBatch, batch_idx: int) -> None:
        self._batch = batch
        seed = self.settings.seed * 1_000_003 + batch.step + (self.here.rank << 44)  # each process draws its own dropout
        torch.manual_seed(seed)
        if self.rollouts is not None:
            self.rollouts.seed = seed
        if isinstance(self.objective, ScheduledObjective):
            self.objective.progress = batch.progress
        lr = self.settings.lr_at(batch.step, batch.progress)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = lr

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        num_parts = self.settings.accumulate * (1 if self._fits(batch.batch) else 2)
        if num_parts == 1:
            terms = self._loss(batch.batch)
            loss, self._terms = terms.total, replace(terms, total=terms.total.detach())  # no graph outlives its step
        else:
            loss, self._terms = in_parts(self._loss, batch.batch, self.generator.parameters(), num_parts)
        check_loss(loss, batch.step, self.plan)
        return loss if self.here.world == 1 else loss * batch.share

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        whole, batch = self._fits(self._batch.batch), self._batch.batch
        try:
            with FlopCounterMode(display=False) if self.count_flops else nullcontext() as counter:
                super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
            if counter is not None:
                self.count_flops, self.flops = False, counter.get_total_flops()
            self._count(self._batch.num_targets)
            return
        except (RuntimeError, MemoryError) as error:
            if not whole or len(batch) < 2 or not is_out_of_memory(error):
                raise
        # Here the error is gone, and with it what its traceback held in memory.
        self._room = batch.history.numel()
        step = self._batch.step
        self.log_line(f"  out of memory at step {step}: batches as long ({self._room:,} states) are trained in halves")
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        self._count(self._batch.num_targets)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clips here, since Lightning's autocast clips for no fused optimizer: in fp16 that one scales gradients itself.

        Several processes add up their gradients before.
        """
        if self.here.world > 1:
            self._terms = sum_over(self.here, self.generator.parameters(), self._terms, self._batch.share)
        self.gradient_norm = torch.nn.utils.clip_grad_norm_(
            [p for group in optimizer.param_groups for p in group["params"]], max_norm=self.settings.clip
        )

    def _count(self, num_targets: int) -> None:
        """Counts a step that is done."""
        self.targets_seen += num_targets
        figures = {"loss": self._terms.total} | {f"loss_{name}": part for name, part in self._terms.parts.items()}
        self.round_means.add(figures, num_targets)
        self.step_means.add(figures, num_targets)

    def _fits(self, batch: Batch) -> bool:
        return self._room is None or batch.history.numel() < self._room

    def _loss(self, batch: Batch) -> LossTerms:
        return self.objective.loss(self.generator, batch, self.rollouts)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        means = {"round": self.round_means.state_dict(), "step": self.step_means.state_dict()}
        checkpoint |= {"targets_seen": self.targets_seen, "means": means}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.targets_seen, means = checkpoint["targets_seen"], checkpoint.get("means", {})
        for key, running in (("round", self.round_means), ("step", self.step_means)):
            if key in means:  # an older checkpoint has none, and stands between two rounds
                running.load_state_dict(means[key], self.device)
