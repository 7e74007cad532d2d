"""Pair counts: a transition rule with power weights, counted forward and backward; nothing is learned.

Own design: see docs/methods/counting_baselines.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sparse

from genrec.baselines.lib.item_to_item import ItemToItem, Pairs, weighted_histories
from genrec.core.dataset import Dataset, Sequences
from genrec.errors import ConfigError


class PairCounts(ItemToItem):
    """What came around each item of the history in everybody's training sequences (docs/evaluation.md has measured figures).

    ``C[a, b]`` adds ``gap ** -gap_power`` whenever ``b`` follows ``a`` at a distance of ``gap <= window`` events of one user,
    and ``backward`` times as much whenever it stands that far before it; with ``log``, C becomes ``log(1 + C)``. Then

        S[a, b] = C[a, b] / (sum of row a of C) ** row_power / popularity(b) ** popularity_power
        score(b | history) = sum over the last items a of m ** -history_power * S[a, b],  m = 1 the most recent

    where popularity counts training events and is at least 1. A setting that is null is chosen on validation.

    Args:
        window: largest distance counted, in events, >= 1.
        gap_power: how fast a pair counts less with its distance, >= 0.
        backward: what a pair against the order of time counts, in [0, 1].
        log: count in logarithms, so that a pair seen often does not outvote the others.
        row_power: 1 makes all items of a history equally strong voters, 0 lets those with many pairs outvote the others.
        popularity_power: > 0 holds back what everybody has anyway.
        history_power: how fast an item of the history counts less with its age, >= 0.
        last: how many of the most recent items count, >= 1.
    """

    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "gap_power": (1.0, 0.6, 1.5),
        "history_power": (1.2, 0.8, 0.5, 1.5, 2.0),
        "log": (True, False),
        "backward": (0.2, 0.0, 0.5, 1.0),
        "row_power": (0.5, 0.25, 0.75, 0.0, 1.0),
        "popularity_power": (0.05, 0.0, 0.1, 0.2),
        "window": (20, 12, 5, 2),
    }
    of_history: ClassVar[frozenset[str]] = frozenset({"history_power"})

    window: int
    gap_power: float
    backward: float
    log: bool
    row_power: float
    popularity_power: float
    history_power: float

    def __init__(
        self,
        *,
        window: int | None = 20,
        gap_power: float | None = 1.0,
        backward: float | None = 0.2,
        log: bool | None = True,
        row_power: float | None = 0.5,
        popularity_power: float | None = 0.05,
        history_power: float | None = 1.2,
        last: int = 20,
    ) -> None:
        super().__init__(last=last, decay=1.0)
        self.settle(
            window=window,
            gap_power=gap_power,
            backward=backward,
            log=log,
            row_power=row_power,
            popularity_power=popularity_power,
            history_power=history_power,
        )
        if self.window < 1:
            raise ConfigError("window", expected="1 or more", got=window, fix="choose another")
        if not 0 <= self.backward <= 1:
            raise ConfigError("backward", expected="a number in [0, 1]", got=backward, fix="choose another")
        powers = {"gap_power": self.gap_power, "row_power": self.row_power, "popularity_power": self.popularity_power}
        for name, power in (powers | {"history_power": self.history_power}).items():
            if not 0 <= power < np.inf:
                raise ConfigError(name, expected="0 or more", got=power, fix="choose another")

    def count(self, dataset: Dataset) -> None:
        windows = (self.window, *(self.grid["window"] if "window" in self.open_settings else ()))
        self.pairs = Pairs.count(dataset.train, dataset.num_items, max(windows))
        self.popularity = np.maximum(dataset.train_counts, 1).astype(np.float64)

    def weighted(self) -> sparse.csr_array:
        counts = self.pairs.weighted(self.window, lambda gap: float(gap) ** -self.gap_power)
        if self.backward:
            counts = (counts + self.backward * counts.T.tocsr()).tocsr()
        if self.log:
            counts.data = np.log1p(counts.data)
        lengths = np.diff(counts.indptr)
        if self.row_power:
            sums = np.asarray(counts.sum(axis=1), dtype=np.float64)
            scale = np.divide(1.0, sums**self.row_power, out=np.zeros_like(sums), where=sums > 0)
            counts.data = counts.data * np.repeat(scale, lengths)
        if self.popularity_power:
            counts.data = counts.data * (self.popularity**-self.popularity_power)[counts.indices]
        return counts

    def history_weights(self, histories: Sequences) -> sparse.csr_array:
        return weighted_histories(
            histories, len(self.tie_breaker), last=self.last, weights=lambda age: (age + 1) ** -self.history_power
        )
