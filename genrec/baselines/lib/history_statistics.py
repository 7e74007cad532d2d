"""What baselines count in histories: how often one item came after another, and recent items with their weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, Int64

from genrec.core.dataset import Sequences

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
