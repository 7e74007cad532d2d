"""A reward that knows more than whether an item came next: what an ensemble thinks of it (docs/methods/onerec.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.dataset import Dataset, Sequences
from genrec.errors import ConfigError
from genrec.objectives.lib.policy import advantages
from genrec.protocols import Baseline, HasItemHead
from genrec.types import PAD


class EnsembleReward:
    """Mean over scorers of an item's score, in standard deviations from the mean of the items recommended with it.

    Scorers are baselines, fitted on the training part, and the item head of the generator that training starts from, where it
    has one. Baselines have counted the very events that are trained on, so they flatter what came next; a hit does so too.

    Args:
        scorers: baselines by name.

    Raises:
        ConfigError: for a scorer that is no baseline.
    """

    def __init__(self, scorers: Mapping[str, Any] | None) -> None:
        self.scorers = dict(scorers or {})
        for name, scorer in self.scorers.items():
            if not isinstance(scorer, Baseline):
                where = f"objective.scorers.{name}"
                raise ConfigError(where, expected="a baseline", got=type(scorer).__name__, fix="choose Transitions or ItemKNN")

    def fit(self, dataset: Dataset) -> None:
        """Fits the baselines on the training part."""
        for scorer in self.scorers.values():
            scorer.fit(dataset)

    @torch.no_grad()
    def __call__(
        self, reference: Any, batch: Batch, items: Int64[Tensor, "batch group"], is_item: Bool[Tensor, "batch group"]
    ) -> Float[Tensor, "batch group"]:
        """The reward of recommended items; 0 where there is none.

        Args:
            reference: the generator that training starts from.
            batch: histories.
            items: recommended to each.
            is_item: where there is one.

        Raises:
            ConfigError: when there is nobody to ask.
        """
        histories = _histories(batch)
        tables = [torch.from_numpy(np.asarray(scorer.score(histories), dtype=np.float32)) for scorer in self.scorers.values()]
        if isinstance(reference, HasItemHead) and reference.has_item_head:
            tables.append(reference.item_scores(batch).float())
        if not tables:
            fix = "add a scorer, or fine-tune a generator with item_head"
            raise ConfigError("objective.scorers", expected="a scorer with score_weight above 0", got="none", fix=fix)
        scores = [advantages(table.to(items.device).gather(1, items.clamp(min=0)), is_item) for table in tables]
        return torch.stack(scores).mean(0)


def _histories(batch: Batch) -> Sequences:
    history, lengths = batch.history.cpu().numpy(), batch.lengths.cpu().numpy()
    return Sequences(history[history != PAD].astype(np.int32), np.concatenate([[0], np.cumsum(lengths)]))
