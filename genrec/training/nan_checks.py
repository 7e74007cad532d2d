"""Training stops at the first loss, or the first weight, that is no number: everything after it would be none either."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import polars as pl
import torch
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.training.plan import BatchPlan

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
