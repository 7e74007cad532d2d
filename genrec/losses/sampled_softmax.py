"""Cross-entropy over items against a sample of them, corrected for how the sample was drawn (logQ)."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from genrec.batch import Batch
from genrec.errors import ConfigError
from genrec.losses.item_cross_entropy import check_scores_items
from genrec.protocols import Generator, ItemScorer, LossTerms, Sampler


class SampledSoftmax:
    """L = -log[ e^s(y) / (e^s(y) + sum over drawn j of e^(s(j) - log E(j))) ], E(j) the expected count of j in the sample.

    Each drawn item stands for the 1 / E(j) items of its kind, so that the denominator is on average that of the full softmax,
    whatever the proposal (a test says so). The target itself is there for certain and is not corrected; drawn again, it is
    masked. One sample serves a batch. Cosine and temperature are the generator's own matter: it must rank by what it was
    trained on. See docs/methods/sampled_softmax.md.

    Args:
        num_negatives: items drawn for each batch, with replacement.
        popular_share: share of them drawn by training popularity, the rest evenly from the catalogue; in [0, 1).

    Raises:
        ConfigError: for no negatives, and for a share outside its range.
    """

    def __init__(self, *, train_counts: np.ndarray, num_negatives: int = 1024, popular_share: float = 0.5) -> None:
        if num_negatives < 1:
            raise ConfigError("objective.num_negatives", expected="at least 1", got=num_negatives, fix="raise it")
        self.num_negatives, self.proposal = num_negatives, Proposal(train_counts, popular_share, "objective.popular_share")

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        check_scores_items(generator, self)

    def loss(self, generator: ItemScorer, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per target."""
        logits = generator.target_logits(batch)
        assert logits.item_queries is not None  # check() refused the pair
        loss = sampled_softmax(logits.item_queries, generator.item_table(), logits.items, self.num_negatives, self.proposal)
        return LossTerms(loss, {"item": loss.detach()})


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
    table: Float[Tensor, "items dim"],
    items: Int64[Tensor, " targets"],
    num_negatives: int,
    proposal: Proposal,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of ``items`` against a sample of the catalogue."""
    sample, log_expected = (drawn.to(items.device) for drawn in proposal.draw(num_negatives))
    return corrected_cross_entropy(queries, table, items, sample, log_expected.unsqueeze(0), sample == items.unsqueeze(1))


def corrected_cross_entropy(
    queries: Float[Tensor, "targets dim"],
    table: Float[Tensor, "items dim"],
    items: Int64[Tensor, " targets"],
    negatives: Int64[Tensor, " sample"],
    log_expected: Float[Tensor, "#targets sample"],
    masked: Bool[Tensor, "targets sample"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of ``items`` against negatives that were drawn with known frequencies.

    Args:
        queries: of the targets.
        table: vectors of all items.
        items: item_idx of the targets.
        negatives: item_idx, shared by the targets; repetitions count.
        log_expected: log of how often each negative is expected among those of a target.
        masked: which negatives are none for which target.
    """
    positive = (queries * table[items]).sum(-1, keepdim=True).float()
    negative = (queries @ table[negatives].T).float() - log_expected
    logits = torch.cat([positive, negative.masked_fill(masked, float("-inf"))], dim=1)
    return F.cross_entropy(logits, torch.zeros_like(items))
