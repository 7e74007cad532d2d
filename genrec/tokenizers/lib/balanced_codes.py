"""Codes that a batch shares out evenly: entropic transport of rows to codes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_ROUNDS = 50
_TINY = 1e-300


def even_codes(distance: Float[Tensor, "rows size"], smoothing: float) -> Int64[Tensor, " rows"]:
    """The code that gets most of each row when all rows and all codes have equal mass (Sinkhorn's iterations).

    Args:
        distance: of rows to codes; only its shape within its range counts, not its scale.
        smoothing: weight of the plan's entropy, in half ranges of ``distance``; small keeps rows with their nearest codes.
    """
    half_range = ((distance.max() - distance.min()) / 2).clamp(min=torch.finfo(distance.dtype).tiny)
    beyond = (distance - distance.amin(1, keepdim=True)).double() / half_range  # float32 underflows at small smoothing
    kernel = torch.exp(-beyond / smoothing)
    of_codes = torch.ones(kernel.shape[1], dtype=kernel.dtype)
    for _ in range(_ROUNDS):
        of_rows = 1 / (kernel @ of_codes).clamp(min=_TINY)
        of_codes = 1 / (kernel.T @ of_rows).clamp(min=_TINY)
    return (kernel * of_codes).argmax(1)


def balanced_assignment(distance: Float[Tensor, "rows size"], order: Int64[Tensor, " size"]) -> Int64[Tensor, " rows"]:
    """Each cluster, in the given order, takes its share of the nearest rows that are still free; O(rows size)."""
    num_rows, size = distance.shape
    codes, free = torch.empty(num_rows, dtype=torch.long), torch.arange(num_rows)
    by_code = distance.T.contiguous()
    for place, code in enumerate(order.tolist()):
        share = num_rows // size + (place < num_rows % size)
        taken = torch.zeros(len(free), dtype=torch.bool)
        taken[by_code[code, free].topk(share, largest=False).indices] = True
        codes[free[taken]] = code
        free = free[~taken]
    return codes
