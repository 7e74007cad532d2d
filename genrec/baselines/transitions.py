"""Decayed transition counts: what came after, in everybody's training history, what this user had last."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.sparse as sparse

from genrec.baselines.item_to_item import ItemToItem
from genrec.baselines.popularity import tie_breaker
from genrec.dataset import Dataset
from genrec.errors import ConfigError


class Transitions(ItemToItem):
    """A Markov chain that looks several steps ahead and several steps back (from the brief in the design notes).

    ``C[a, b]`` adds ``gap_decay ** (g - 1)`` whenever ``b`` follows ``a`` at a distance of ``g <= window`` events of one user;
    ``score(b | history) = sum over the m-th last items a of decay ** m * n(C[a, b])``. First order: ``window = last = 1``.

    Args:
        window: largest distance counted, in events, >= 1.
        gap_decay: weight of a distance relative to the next shorter one, in (0, 1].
        last: how many of the most recent items count, >= 1.
        decay: weight of an item relative to the next more recent one, in (0, 1].
        normalization: ``source`` divides a row by the training events of its item, so that a popular item of the history does
            not outvote the others; ``log`` takes log(1 + C).
    """

    def __init__(
        self,
        *,
        window: int = 5,
        gap_decay: float = 0.5,
        last: int = 5,
        decay: float = 0.5,
        normalization: Literal["source", "log"] = "source",
    ) -> None:
        super().__init__(last=last, decay=decay)
        if window < 1:
            raise ConfigError("window", expected="1 or more", got=window, fix="choose another")
        if not 0 < gap_decay <= 1:
            raise ConfigError("gap_decay", expected="a number in (0, 1]", got=gap_decay, fix="choose another")
        self.window, self.gap_decay, self.normalization = window, gap_decay, normalization

    def fit(self, dataset: Dataset) -> None:
        train, size = dataset.train, dataset.num_items
        user, item = train.user_idx, train.item_idx
        counts = sparse.csr_array((size, size), dtype=np.float64)
        for gap in range(1, self.window + 1):
            same = user[:-gap] == user[gap:]
            pairs = (item[:-gap][same], item[gap:][same])
            weights = np.full(len(pairs[0]), self.gap_decay ** (gap - 1))
            counts = counts + sparse.csr_array((weights, pairs), shape=(size, size))
        if self.normalization == "source":
            counts = sparse.diags_array(1.0 / np.maximum(dataset.train_counts, 1)) @ counts
        else:
            counts.data = np.log1p(counts.data)
        self.matrix, self.tie_breaker = counts.tocsr(), tie_breaker(dataset)
