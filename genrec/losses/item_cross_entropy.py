"""Cross-entropy over items: the full softmax of arXiv 2309.07602 (docs/methods/sasrec.md)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.batch import Batch
from genrec.errors import ConfigError
from genrec.nn.log_normalizer import mean_log_normalizer
from genrec.protocols import Generator, ItemScorer, LossTerms, Sampler


class ItemCrossEntropy:
    """L = -(1/M) sum over targets of log softmax over items.

    Args:
        label_smoothing: mass spread over all items, in [0, 1).
    """

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        check_scores_items(generator, self)

    def loss(self, generator: ItemScorer, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per target."""
        logits = generator.target_logits(batch)
        assert logits.item_queries is not None  # check() refused the pair
        loss = item_cross_entropy(logits.item_queries, generator.item_table(), logits.items, self.label_smoothing)
        return LossTerms(loss, {"item": loss.detach()})


def item_cross_entropy(
    queries: Float[Tensor, "targets dim"],
    table: Float[Tensor, "items dim"],
    items: Int64[Tensor, " targets"],
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of ``items`` under softmax(queries @ table.T), in bounded memory."""
    wanted = (queries * table[items]).sum(1).float()
    if label_smoothing:
        wanted = torch.lerp(wanted, (queries @ table.mean(0)).float(), label_smoothing)
    return mean_log_normalizer(queries, table) - wanted.mean()


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
    """What the configuration calls an objective: its file."""
    return type(objective).__module__.rpartition(".")[2]
