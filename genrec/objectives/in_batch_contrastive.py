"""Cross-entropy over items against the other users' targets of the batch, corrected for their popularity (logQ)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genrec.core.batch import Batch
from genrec.errors import ConfigError
from genrec.objectives.lib.item_softmax import check_scores_items, corrected_cross_entropy
from genrec.protocols import Generator, ItemScorer, LossTerms, Sampler
from genrec.types import PAD


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
        counts = np.asarray(train_counts, dtype=np.float64)
        if not counts.sum():
            raise ConfigError("data", expected="at least one training event", got=0, fix="choose another split or more data")
        self.log_q = log_q
        # An item that no training event has comes never; a batch is made of training events.
        self.log_frequency = torch.from_numpy(np.log(np.maximum(counts, 1) / counts.sum())).float()

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        check_scores_items(generator, self)

    def loss(self, generator: ItemScorer, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per target."""
        logits = generator.target_logits(batch)
        assert logits.item_queries is not None  # check() refused the pair
        assert batch.targets is not None
        items = logits.items
        user = (batch.targets != PAD).nonzero()[:, 0]
        same_user = user == user.unsqueeze(1)
        masked = same_user | (items == items.unsqueeze(1))
        log_expected: Tensor = torch.zeros(1, len(items), device=items.device)
        if self.log_q:
            if self.log_frequency.device != items.device:
                self.log_frequency = self.log_frequency.to(items.device)
            num_others = (~same_user).sum(1, keepdim=True).clamp(min=1)
            log_expected = self.log_frequency[items] + num_others.log()
        loss = corrected_cross_entropy(logits.item_queries, generator.item_table(), items, items, log_expected, masked)
        return LossTerms(loss, {"item": loss.detach()})
