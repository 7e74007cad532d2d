"""The log of a softmax's denominator over a large table, without ever holding all logits."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

BLOCK = 2**22  # logits held at a time; on a CPU that is also faster than all of them at once


def log_normalizer(queries: Float[Tensor, "rows dim"], table: Float[Tensor, "items dim"]) -> Float[Tensor, " rows"]:
    """Log of the sum over items of exp(query . item), in fp32.

    Above ``BLOCK`` logits it goes over the table block by block and computes the logits anew for the gradient: a third more
    arithmetic, and memory that does not grow with the catalogue.
    """
    if len(queries) * len(table) <= BLOCK:
        return torch.logsumexp((queries @ table.T).float(), dim=1)
    total: Tensor = _InBlocks.apply(queries, table)
    return total


class _InBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, table: Tensor) -> Tensor:
        total = torch.full((len(queries),), float("-inf"), device=queries.device)
        for block in table.split(_rows(queries)):
            total = torch.logaddexp(total, torch.logsumexp((queries @ block.T).float(), dim=1))
        ctx.save_for_backward(queries, table, total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        queries, table, total = ctx.saved_tensors
        to_queries, to_table = torch.zeros_like(queries), []
        for block in table.split(_rows(queries)):
            share = torch.exp((queries @ block.T).float() - total.unsqueeze(1)) * gradients[0].unsqueeze(1)
            share = share.to(queries.dtype)
            to_queries.addmm_(share, block)
            to_table.append(share.T @ queries)
        return to_queries, torch.cat(to_table)


def _rows(queries: Tensor) -> int:
    """Rows of the table in a block."""
    return max(BLOCK // max(len(queries), 1), 1)
