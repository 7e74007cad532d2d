"""A list drawn by lot: what knowing nothing scores (own design; docs/methods/counting_baselines.md)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt64

from genrec.core.dataset import Dataset, Sequences

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Random:
    """Scores in [0, 1) hashed from the history, the item and the seed.

    A hash instead of a stream of random numbers: the scores of a user depend neither on the other users nor on how many of
    them are ranked at once, and two users with equal histories get the same list. The expected recall@k is k / items.

    Args:
        seed: another one gives other lists.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, dataset: Dataset) -> None:
        self.items = _mix_bits(np.arange(dataset.num_items, dtype=np.uint64))

    def score(self, histories: Sequences) -> Float[np.ndarray, "users items"]:
        position = np.arange(len(histories.item_idx)) - np.repeat(histories.offsets[:-1], histories.lengths)
        events = _mix_bits(self.items[histories.item_idx] + position.astype(np.uint64))
        sums = np.concatenate([[np.uint64(0)], np.cumsum(events, dtype=np.uint64)])  # they wrap around, and so do differences
        users = _mix_bits(sums[histories.offsets[1:]] - sums[histories.offsets[:-1]] + np.uint64(self.seed))
        lots = users[:, None] ^ self.items[None, :]
        lots *= _FIRST  # both sides are mixed already: one multiplication is enough, and a third of the time
        lots >>= np.uint64(11)
        return lots * 2.0**-53


def _mix_bits(numbers: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """The output function of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014)."""
    mixed = numbers + _STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
