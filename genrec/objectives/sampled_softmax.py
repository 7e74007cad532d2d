"""Cross-entropy over items against a sample of them, corrected for how the sample was drawn (logQ)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from genrec.core.batch import Batch
from genrec.errors import ConfigError
from genrec.nn.in_batch import rows_of
from genrec.objectives.lib.item_softmax import Proposal, check_scores_items, sampled_softmax
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

    weighs_targets: ClassVar[bool] = True
    shares_batches: ClassVar[bool] = True

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
        loss = sampled_softmax(
            logits.item_queries,
            rows_of(generator),
            logits.items,
            self.num_negatives,
            self.proposal,
            batch.target_weights,
        )
        return LossTerms(loss, {"item": loss.detach()})
