"""Cross-entropy over items: the full softmax of arXiv 2309.07602, or an estimate of it from sampled negatives."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from genrec.batch import Batch
from genrec.errors import ConfigError
from genrec.protocols import ItemScorer, LossTerms


class ItemCrossEntropy:
    """L = -(1/M) sum over targets of log softmax over items.

    Args:
        num_negatives: items in the softmax beside the target, drawn uniformly and shared by a batch; None for all items.
        label_smoothing: mass spread over all items, in [0, 1); 0 with a sample, which does not hold them.

    Raises:
        ConfigError: for label smoothing over a sample.
    """

    def __init__(self, *, num_negatives: int | None = None, label_smoothing: float = 0.0) -> None:
        if num_negatives is not None and label_smoothing:
            raise ConfigError(
                "objective.label_smoothing",
                expected="0 with sampled negatives",
                got=f"{label_smoothing} with num_negatives: {num_negatives}",
                fix="choose one of the two",
            )
        self.num_negatives, self.label_smoothing = num_negatives, label_smoothing

    def check(self, generator: Any) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        if not isinstance(generator, ItemScorer):
            raise ConfigError(
                "objective",
                expected=f"an objective for {type(generator).__name__}",
                got="item_cross_entropy",
                fix="use objective=sid_cross_entropy",
            )

    def loss(self, generator: ItemScorer, batch: Batch, sampler: Any = None) -> LossTerms:
        """Mean loss per target."""
        logits = generator.target_logits(batch)
        assert logits.item_queries is not None  # check() refused the pair
        loss = item_cross_entropy(
            logits.item_queries, generator.item_table(), logits.items, self.num_negatives, self.label_smoothing
        )
        return LossTerms(loss, {"item": loss.detach()})


def item_cross_entropy(
    queries: Float[Tensor, "targets dim"],
    table: Float[Tensor, "items dim"],
    items: Int64[Tensor, " targets"],
    num_negatives: int | None = None,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of ``items`` under softmax(queries @ table.T).

    With ``num_negatives`` the other items are represented by a uniform sample, each standing for items / sample of them
    (the logQ correction for a uniform proposal; brief ``sampled_softmax`` in the design notes); a sampled target is masked.
    """
    num_items = len(table)
    if num_negatives is None or num_negatives >= num_items:
        return F.cross_entropy((queries @ table.T).float(), items, label_smoothing=label_smoothing)
    sample = torch.randint(num_items, (num_negatives,), device=items.device)
    positive = (queries * table[items]).sum(-1, keepdim=True).float()
    negative = (queries @ table[sample].T).float() + math.log(num_items / num_negatives)
    negative = negative.masked_fill(sample == items.unsqueeze(1), float("-inf"))
    logits = torch.cat([positive, negative], dim=1)
    return F.cross_entropy(logits, torch.zeros_like(items))
