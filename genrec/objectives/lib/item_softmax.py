"""Cross-entropy over items: the full softmax of arXiv 2309.07602, and one against a sample with the logQ correction.

``mean_log_normalizer`` computes the mean log denominator of the full softmax and its gradient in one pass that never holds all
logits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.errors import ConfigError
from genrec.nn.in_batch import Rows, corrected_cross_entropy, weighted_mean
from genrec.protocols import Generator, ItemScorer


def item_cross_entropy(
    queries: Float[Tensor, "targets dim"],
    table: Float[Tensor, "items dim"],
    items: Int64[Tensor, " targets"],
    label_smoothing: float = 0.0,
    weights: Float[Tensor, " targets"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of ``items`` under softmax(queries @ table.T), in bounded memory; ``weights`` have a mean of 1."""
    target_logits = (queries * table[items]).sum(1).float()
    if label_smoothing:
        target_logits = torch.lerp(target_logits, (queries @ table.mean(0)).float(), label_smoothing)
    return mean_log_normalizer(queries, table, weights=weights) - weighted_mean(target_logits, weights)


def check_scores_items(generator: Generator, objective: object) -> None:
    """Raises ConfigError for a generator that does not score the whole catalogue."""
    if not isinstance(generator, ItemScorer):
        raise ConfigError(
            "objective",
            expected=f"an objective for {type(generator).__name__}, which does not score all items",
            got=option_of(objective),
            fix="use objective=sid_cross_entropy",
        )


def option_of(objective: object) -> str:
    """Returns what the configuration calls an objective: its file."""
    return type(objective).__module__.rpartition(".")[2]


class Proposal:
    """A mixture of the even distribution over items and that of training events.

    Args:
        train_counts: int64 [items] training events.
        popular_share: mass of the latter, in [0, 1): what was never seen must be drawn too.
        where: the key that errors name.

    Raises:
        ConfigError: for a share outside its range.
    """

    def __init__(self, train_counts: np.ndarray, popular_share: float, where: str) -> None:
        if not 0 <= popular_share < 1:
            raise ConfigError(where, expected="a share in [0, 1)", got=popular_share, fix="leave some mass to unseen items")
        counts = torch.from_numpy(np.asarray(train_counts)).double()
        probs = (1 - popular_share) / len(counts) + popular_share * counts / counts.sum().clamp(min=1)
        probs = probs / probs.sum()
        self._log_probs, self._upper = probs.log().float(), probs.cumsum(0)

    def draw(self, number: int) -> tuple[Int64[Tensor, " sample"], Float[Tensor, " sample"]]:
        """Items, with replacement, and the log of how often each is expected in so large a sample; on the CPU."""
        items = torch.searchsorted(self._upper, torch.rand(number, dtype=torch.float64), right=True)
        items = items.clamp(max=len(self._upper) - 1)  # the last bound may round to less than one
        return items, self._log_probs[items] + math.log(number)


def sampled_softmax(
    queries: Float[Tensor, "targets dim"],
    table: Rows,
    items: Int64[Tensor, " targets"],
    num_negatives: int,
    proposal: Proposal,
    weights: Float[Tensor, " targets"] | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of ``items`` against a sample of the catalogue."""
    sample, log_expected = (drawn.to(items.device) for drawn in proposal.draw(num_negatives))
    masked = sample == items.unsqueeze(1)
    return corrected_cross_entropy(queries, table, items, sample, log_expected.unsqueeze(0), masked, weights)


BLOCK = 2**22  # logits held at a time
FEWEST = 64  # queries of a block, however large the table: products with fewer are slow

Look = Callable[[Float[Tensor, "items block"]], None]


def mean_log_normalizer(
    queries: Float[Tensor, "rows dim"],
    table: Float[Tensor, "items dim"],
    look: Look | None = None,
    weights: Float[Tensor, " rows"] | None = None,
) -> Tensor:
    """Mean over queries of the log of the sum over items of exp(query . item), in fp32.

    Since the gradient of a mean is known before anything above it is, it is made while a block of logits is at hand (the trick
    of fused cross-entropies): three products instead of four, and one exponential instead of two.

    Args:
        queries: one per row of a softmax.
        table: of the items.
        look: is shown the weights of each block of queries before they are divided by their sums, in the order of the queries;
            whoever wants them later takes a copy.
        weights: of the queries in the mean, themselves of a mean of 1; None: all alike.
    """
    mean: Tensor = _MeanLogNormalizer.apply(queries, table, look, weights)
    return mean


class _MeanLogNormalizer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, table: Tensor, look: Look | None, counts: Tensor | None) -> Tensor:
        wants_gradient = any(ctx.needs_input_grad)
        to_table = torch.zeros_like(table, dtype=torch.float32) if wants_gradient else None
        to_queries, total = [], torch.zeros((), device=queries.device)
        size = max(BLOCK // len(table), FEWEST)
        size = -(-len(queries) // -(-len(queries) // size))  # even blocks: a small last one is slow
        for number, block in enumerate(queries.split(size)):
            count = None if counts is None else counts[number * size : number * size + len(block)]
            weights = (table @ block.T).float()  # [items, block]
            largest = weights.amax(dim=0)
            sums = weights.sub_(largest).exp_().sum(dim=0)
            log_sums = largest + sums.log()
            total += (log_sums if count is None else log_sums * count).sum()
            if look is not None:
                look(weights)
            if to_table is not None:
                shares = weights.div_(sums * len(queries)).to(queries.dtype)
                shares = shares if count is None else shares * count.to(queries.dtype)
                to_queries.append(shares.T @ table)
                if shares.dtype == to_table.dtype:
                    to_table.addmm_(shares, block)
                else:
                    to_table += shares @ block
        if to_table is not None:
            ctx.save_for_backward(torch.cat(to_queries).to(queries.dtype), to_table.to(table.dtype))
        return total / len(queries)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        to_queries, to_table = ctx.saved_tensors
        return to_queries * gradients[0], to_table * gradients[0], None, None
