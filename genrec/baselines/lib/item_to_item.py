"""From the items of a history to other items: what is counted in histories, a matrix of it, and how recent items weigh."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, Int64
from safetensors.numpy import load_file, save_file

from genrec.baselines.lib.ranking import tie_breaker
from genrec.baselines.lib.setting_search import OpenSettings
from genrec.core.dataset import Dataset, Sequences
from genrec.errors import ConfigError

MOST_PAIRS = 100_000_000  # counted at most, 1.6 GB: of more events the far distances are left out


@dataclass(frozen=True)
class Pairs:
    """Ordered pairs of items with their distances.

    Args:
        keys: int64 [pairs], ascending: row * items + column of each pair that occurs at any distance.
        positions: for the distances 1, 2, ...: which of ``keys`` occur there.
        counts: likewise: how often.
        num_items: of the catalogue.
    """

    keys: Int64[np.ndarray, " pairs"]
    positions: tuple[Int64[np.ndarray, " some"], ...]
    counts: tuple[Float[np.ndarray, " some"], ...]
    num_items: int

    @classmethod
    def count(cls, train: Sequences, num_items: int, window: int) -> Pairs:
        """Counts the pairs of each user's events that are at most ``window`` events apart."""
        user, item = train.user_idx, train.item_idx.astype(np.int64)
        counted: list[tuple[np.ndarray, np.ndarray]] = []
        total = 0
        for gap in range(1, window + 1):
            same = user[:-gap] == user[gap:]
            keys = item[:-gap][same] * num_items + item[gap:][same]
            total += len(keys)
            if not len(keys) or (counted and total > MOST_PAIRS):
                break
            counted.append(np.unique(keys, return_counts=True))
        every = np.unique(np.concatenate([keys for keys, _ in counted])) if counted else np.empty(0, np.int64)
        positions = tuple(np.searchsorted(every, keys) for keys, _ in counted)
        return cls(every, positions, tuple(counts.astype(np.float64) for _, counts in counted), num_items)

    def weighted(self, window: int, weight_of: Callable[[int], float]) -> sparse.csr_array:
        """float64 [items, items]: the counts of each distance up to ``window``, times its weight."""
        values = np.zeros(len(self.keys))
        for gap, (positions, counts) in enumerate(zip(self.positions[:window], self.counts[:window], strict=True), start=1):
            values[positions] += weight_of(gap) * counts
        used = np.flatnonzero(values)
        row, column = np.divmod(self.keys[used], self.num_items)
        starts = np.searchsorted(row, np.arange(self.num_items + 1))
        return sparse.csr_array((values[used], column, starts), shape=(self.num_items, self.num_items))


def recency_weights(histories: Sequences, num_items: int, *, last: int, decay: float) -> sparse.csr_array:
    """float64 [users, items]: the m-th last of the ``last`` most recent items gets ``decay ** m``; repeats add up."""
    return weighted_histories(histories, num_items, last=last, weights=lambda age: decay**age)


def weighted_histories(
    histories: Sequences,
    num_items: int,
    *,
    last: int,
    weights: Callable[[Float[np.ndarray, " events"]], Float[np.ndarray, " events"]],
) -> sparse.csr_array:
    """float64 [users, items]: what each of the ``last`` most recent items weighs; repeats add up.

    Args:
        histories: whole histories, oldest first.
        num_items: columns.
        last: items that count, >= 1.
        weights: from ages (0: the most recent item) to weights.
    """
    age = ages(histories)
    recent = age < last
    entries = weights(age[recent].astype(np.float64))
    cells = (histories.user_idx[recent], histories.item_idx[recent])
    return sparse.csr_array((entries, cells), shape=(len(histories), num_items))


def ages(histories: Sequences) -> Int64[np.ndarray, " events"]:
    """Returns how many items of the same history came after each."""
    return np.repeat(histories.offsets[1:], histories.lengths) - 1 - np.arange(len(histories.item_idx))


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
