"""Histories as sparse rows in which recent items weigh more."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse

from genrec.dataset import Sequences


def recency_weights(histories: Sequences, num_items: int, *, last: int, decay: float) -> sparse.csr_array:
    """float64 [users, items]: the m-th last of the ``last`` most recent items gets ``decay ** m``; repeats add up."""
    age = np.repeat(histories.offsets[1:], histories.lengths) - 1 - np.arange(len(histories.item_idx))
    recent = age < last
    entries = decay ** age[recent].astype(np.float64)
    places = (histories.user_idx[recent], histories.item_idx[recent])
    return sparse.csr_array((entries, places), shape=(len(histories), num_items))
