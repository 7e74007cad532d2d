"""Decayed transition counts: what came after, in everybody's training history, what this user had last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sparse

from genrec.baselines.lib.item_to_item import ItemToItem, Pairs
from genrec.core.dataset import Dataset
from genrec.errors import ConfigError


class Transitions(ItemToItem):
    """A Markov chain that looks several steps ahead and several steps back (own design; docs/methods/counting_baselines.md).

    ``C[a, b]`` adds ``gap_decay ** (g - 1)`` whenever ``b`` follows ``a`` at a distance of ``g <= window`` events of one user;
    ``score(b | history) = sum over the m-th last items a of decay ** m * n(C[a, b])``. First order: ``window = last = 1``.
    A setting that is null is chosen on validation.

    Args:
        window: largest distance counted, in events, >= 1.
        gap_decay: weight of a distance relative to the next shorter one, in (0, 1].
        last: how many of the most recent items count, >= 1.
        decay: weight of an item relative to the next more recent one, in (0, 1].
        normalization: ``source`` divides a row by the training events of its item, so that a popular item of the history does
            not outvote the others; ``log`` takes log(1 + C).
    """

    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "normalization": ("log", "source"),
        "decay": (0.5, 0.3, 0.7, 0.85),
        "gap_decay": (0.5, 0.3, 0.7, 0.85),
        "window": (5, 1, 2, 10),
        "last": (5, 1, 10, 20),
    }

    window: int
    gap_decay: float
    normalization: str

    def __init__(
        self,
        *,
        window: int | None = 5,
        gap_decay: float | None = 0.5,
        last: int | None = 5,
        decay: float | None = 0.5,
        normalization: Literal["source", "log"] | None = "source",
    ) -> None:
        super().__init__(last=last, decay=decay)
        self.settle(window=window, gap_decay=gap_decay, normalization=normalization)
        if self.window < 1:
            raise ConfigError("window", expected="1 or more", got=window, fix="choose another")
        if not 0 < self.gap_decay <= 1:
            raise ConfigError("gap_decay", expected="a number in (0, 1]", got=gap_decay, fix="choose another")

    def count(self, dataset: Dataset) -> None:
        windows = (self.window, *(self.grid["window"] if "window" in self.open_settings else ()))
        self.pairs = Pairs.count(dataset.train, dataset.num_items, max(windows))
        self.counts = np.maximum(dataset.train_counts, 1)

    def weighted(self) -> sparse.csr_array:
        counts = self.pairs.weighted(self.window, lambda gap: self.gap_decay ** (gap - 1))
        if self.normalization == "source":
            return (sparse.diags_array(1.0 / self.counts) @ counts).tocsr()
        counts.data = np.log1p(counts.data)
        return counts
