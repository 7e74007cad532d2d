"""Histories as sparse rows in which recent items weigh more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, Int64

from genrec.core.dataset import Sequences


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
    places = (histories.user_idx[recent], histories.item_idx[recent])
    return sparse.csr_array((entries, places), shape=(len(histories), num_items))


def ages(histories: Sequences) -> Int64[np.ndarray, " events"]:
    """How many items of the same history came after each."""
    return np.repeat(histories.offsets[1:], histories.lengths) - 1 - np.arange(len(histories.item_idx))
