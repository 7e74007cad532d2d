"""Cross-entropy over items against the other users' targets of the batch, corrected for their popularity (logQ)."""

from __future__ import annotations

import numpy as np

from genrec.core.batch import Batch
from genrec.errors import ConfigError
from genrec.nn.in_batch import in_batch_cross_entropy, log_frequencies, rows_of
from genrec.objectives.lib.item_softmax import check_scores_items
from genrec.protocols import Generator, ItemScorer, LossTerms, Sampler


class InBatchContrastive:
    """The sampled softmax whose negatives cost nothing: the targets of the other users in the batch.

    They come as often as items are popular, so each stands for the 1 / E(j) items like it, E(j) = n(j) / sum n times their
    number; without this popular items are punished for being popular (see docs/methods/sampled_softmax.md).
    A user's own other targets are no negatives: they come because of the user, not of their frequency.
    Nor is the target itself.

    Args:
        log_q: correct for popularity; without it, a plain contrastive loss.

    Raises:
        ConfigError: without training counts.
    """

    def __init__(self, *, train_counts: np.ndarray, log_q: bool = True) -> None:
        if not np.sum(train_counts):
            raise ConfigError("data", expected="at least one training event", got=0, fix="choose another split or more data")
        self.log_q, self.log_frequency = log_q, log_frequencies(train_counts)

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        check_scores_items(generator, self)

    def loss(self, generator: ItemScorer, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per target."""
        logits = generator.target_logits(batch)
        assert logits.item_queries is not None  # check() refused the pair
        assert batch.targets is not None
        if self.log_frequency.device != batch.targets.device:
            self.log_frequency = self.log_frequency.to(batch.targets.device)
        log_frequency = self.log_frequency if self.log_q else None
        loss = in_batch_cross_entropy(logits.item_queries, rows_of(generator), batch.targets, log_frequency)
        return LossTerms(loss, {"item": loss.detach()})
