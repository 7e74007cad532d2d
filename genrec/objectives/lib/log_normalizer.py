"""The mean log of softmax denominators over a large table, and its gradient, in one pass that never holds all logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 2**22  # logits held at a time
FEWEST = 64  # queries of a block, however large the table: products with fewer are slow

Look = Callable[[Float[Tensor, "items block"]], None]


def mean_log_normalizer(
    queries: Float[Tensor, "rows dim"], table: Float[Tensor, "items dim"], look: Look | None = None
) -> Tensor:
    """Mean over queries of the log of the sum over items of exp(query . item), in fp32.

    Since the gradient of a mean is known before anything above it is, it is made while a block of logits is at hand (the trick
    of fused cross-entropies): three products instead of four, and one exponential instead of two.

    Args:
        queries: one per row of a softmax.
        table: of the items.
        look: is shown the weights of each block of queries before they are divided by their sums, in the order of the queries;
            whoever wants them later takes a copy.
    """
    mean: Tensor = _MeanLogNormalizer.apply(queries, table, look)
    return mean


class _MeanLogNormalizer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, table: Tensor, look: Look | None) -> Tensor:
        wants_gradient = any(ctx.needs_input_grad)
        to_table = torch.zeros_like(table, dtype=torch.float32) if wants_gradient else None
        to_queries, total = [], torch.zeros((), device=queries.device)
        for block in queries.split(max(BLOCK // len(table), FEWEST)):
            weights = (table @ block.T).float()  # [items, block]
            largest = weights.amax(dim=0)
            sums = weights.sub_(largest).exp_().sum(dim=0)
            total += (largest + sums.log()).sum()
            if look is not None:
                look(weights)
            if to_table is not None:
                shares = weights.div_(sums * len(queries)).to(queries.dtype)
                to_queries.append(shares.T @ table)
                if shares.dtype == to_table.dtype:
                    to_table.addmm_(shares, block)
                else:
                    to_table += shares @ block
        if to_table is not None:
            ctx.save_for_backward(torch.cat(to_queries).to(queries.dtype), to_table.to(table.dtype))
        return total / len(queries)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        to_queries, to_table = ctx.saved_tensors
        return to_queries * gradients[0], to_table * gradients[0], None
