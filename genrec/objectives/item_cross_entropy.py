"""Cross-entropy over items: the full softmax of arXiv 2309.07602 (docs/methods/sasrec.md)."""

from __future__ import annotations

from typing import ClassVar

from genrec.core.batch import Batch
from genrec.objectives.lib.item_softmax import check_scores_items, item_cross_entropy
from genrec.protocols import Generator, ItemScorer, LossTerms, Sampler


class ItemCrossEntropy:
    """L = -(1/M) sum over targets of log softmax over items.

    Args:
        label_smoothing: mass spread over all items, in [0, 1).
    """

    weighs_targets: ClassVar[bool] = True
    shares_batches: ClassVar[bool] = True

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        check_scores_items(generator, self)

    def loss(self, generator: ItemScorer, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per target."""
        logits = generator.target_logits(batch)
        assert logits.item_queries is not None  # check() refused the pair
        loss = item_cross_entropy(
            logits.item_queries, generator.item_table(), logits.items, self.label_smoothing, batch.target_weights
        )
        return LossTerms(loss, {"item": loss.detach()})
