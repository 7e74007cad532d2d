"""Training stops at the first loss, or the first weight, that is no number: everything after it would be none either."""

from __future__ import annotations

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
            "train/loss", expected="a finite number", got=f"{float(loss.detach())} {_place(step, plan)}", fix=_FIX
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
            got = f"one that is none {_place(step, plan)}"
            raise ConfigError(f"weights of {name}", expected="finite numbers", got=got, fix=_FIX)


def _place(step: int, plan: BatchPlan) -> str:
    return f"at step {step} of {plan.num_batches} (epoch {plan.epoch_of(step)} of {plan.num_epochs})"
