"""A batch that memory has no room for, in two halves that leave the gradient of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.protocols import LossTerms


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
        found = torch.autograd.grad(terms.total * share, weights, allow_unused=True)  # the graph of this half ends here
        sums = [old if new is None else new if old is None else old + new for old, new in zip(sums, found, strict=True)]
        value = value.to(terms.total) + share * terms.total.detach()
        for name, part in terms.parts.items():
            parts[name] = parts.get(name, 0) + share * part
    products = [(weight * fixed).sum() for weight, fixed in zip(weights, sums, strict=True) if fixed is not None]
    carrier = torch.stack(products).sum()  # weights times constants, which are its gradient
    return value + (carrier - carrier.detach()), LossTerms(value, parts)
