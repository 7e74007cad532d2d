"""Dropout that does not dominate training on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Dropout with its rate rounded to 1/256 on a CPU, where one 64-bit draw decides eight elements.

    PyTorch draws each element's Bernoulli separately there, which measured a third of a training step of ``encdec``. On other
    devices this is ``F.dropout``. The expectation is exact: the scale uses the rounded rate.

    Args:
        rate: share of elements set to zero in training, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"dropout: expected a rate in [0, 1), got {rate}")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.rate)
        threshold = min(round(self.rate * 256), 255)
        draws = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        keep = draws.view(torch.uint8)[: x.numel()].view(x.shape) >= threshold
        return x * (keep.to(x.dtype) * (256 / (256 - threshold)))


@contextmanager
def without_dropout(module: nn.Module) -> Iterator[None]:
    """Puts a module into eval mode for a while; gradients flow as before."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
