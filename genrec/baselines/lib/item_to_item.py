"""What baselines that go from the items of a history to other items have in common: a matrix, and how recent items weigh."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float
from safetensors.numpy import load_file, save_file

from genrec.baselines.lib.history_statistics import recency_weights
from genrec.baselines.lib.ranking import tie_breaker
from genrec.baselines.lib.setting_search import OpenSettings
from genrec.core.dataset import Dataset, Sequences
from genrec.errors import ConfigError

STATE_FILE = "item_to_item.safetensors"


class ItemToItem(OpenSettings, ABC):
    """``score(b | history) = sum over the m-th last items a of decay ** m * matrix[a, b]``, and a little for popularity.

    A subclass counts in ``count`` and makes the matrix of the counts in ``weighted``, so that other settings cost no count.

    Args:
        last: how many of the most recent items count, >= 1.
        decay: weight of an item relative to the next more recent one, in (0, 1].
    """

    of_history: ClassVar[frozenset[str]] = frozenset({"last", "decay"})  # settings that the matrix does not depend on
    matrix: sparse.csr_array  # float64 [items, items], >= 0
    tie_breaker: Float[np.ndarray, " items"]

    def __init__(self, *, last: int | None, decay: float | None) -> None:
        self.settle(last=last, decay=decay)
        if self.last < 1:
            raise ConfigError("last", expected="1 or more", got=last, fix="choose another")
        if not 0 < self.decay <= 1:
            raise ConfigError("decay", expected="a number in (0, 1]", got=decay, fix="choose another")

    last: int
    decay: float

    def fit(self, dataset: Dataset) -> None:
        self.count(dataset)
        self.matrix, self.tie_breaker = self.weighted(), tie_breaker(dataset)

    @abstractmethod
    def count(self, dataset: Dataset) -> None:
        """Keeps what the matrix is made of, for every value of the open settings."""

    @abstractmethod
    def weighted(self) -> sparse.csr_array:
        """The matrix by the settings that stand."""

    def with_settings(self, **settings: Any) -> Self:
        """The same baseline, fitted, by other values of open settings."""
        other = copy(self)
        changed = {name for name, value in settings.items() if getattr(self, name) != value}
        for name in changed:
            setattr(other, name, settings[name])
        if changed - self.of_history:
            other.matrix = other.weighted()
        return other

    def history_weights(self, histories: Sequences) -> sparse.csr_array:
        """float64 [users, items]: what each item of a history weighs."""
        return recency_weights(histories, len(self.tie_breaker), last=self.last, decay=self.decay)

    def sparse_scores(self, histories: Sequences) -> sparse.csr_array:
        """The scores without the tie breaker; what no item of the history leads to has none."""
        return self.history_weights(histories) @ self.matrix

    def score(self, histories: Sequences) -> Float[np.ndarray, "users items"]:
        scores = self.sparse_scores(histories).toarray()
        scores += self.tie_breaker
        return scores

    def with_items(self, num_items: int) -> Self:
        """The same baseline for a catalogue with more items; it knows nothing about the later ones."""
        grown, later = copy(self), num_items - len(self.tie_breaker)
        rows = np.pad(self.matrix.indptr, (0, later), mode="edge")
        grown.matrix = sparse.csr_array((self.matrix.data, self.matrix.indices, rows), shape=(num_items, num_items))
        grown.tie_breaker = np.pad(self.tie_breaker, (0, later))
        return grown

    def save(self, folder: Path) -> None:
        """Writes what was fitted."""
        parts = {"data": self.matrix.data, "columns": self.matrix.indices, "rows": self.matrix.indptr}
        save_file(parts | {"tie_breaker": self.tie_breaker}, folder / STATE_FILE)

    def restore(self, folder: Path) -> None:
        """Reads what ``save`` wrote."""
        state = load_file(folder / STATE_FILE)
        self.tie_breaker = state["tie_breaker"]
        size = len(self.tie_breaker)
        self.matrix = sparse.csr_array((state["data"], state["columns"], state["rows"]), shape=(size, size))
