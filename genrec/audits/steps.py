"""Steps: what a model has to predict, from the last item of a history to a target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Int64

from genrec.core.dataset import Dataset
from genrec.types import Split


@dataclass(frozen=True)
class Steps:
    """Targets of users with a history.

    Args:
        user: [targets], user_idx.
        last: [targets], the most recent item of the history.
        target: [targets], the item held out.
    """

    user: Int64[np.ndarray, " targets"]
    last: Int64[np.ndarray, " targets"]
    target: Int64[np.ndarray, " targets"]


def steps_of(dataset: Dataset, split: Split) -> Steps:
    """Pairs every held-out event of a split with the last item before that user's first held-out event of the split."""
    histories, targets = dataset.histories(split), dataset.targets(split)
    user = targets.user_idx
    has_history = histories.lengths[user] > 0
    user = user[has_history]
    last = histories.item_idx[histories.offsets[1:][user] - 1]
    return Steps(user, last.astype(np.int64), targets.item_idx[has_history].astype(np.int64))


def id_ranks(ids: pl.Series) -> Int64[np.ndarray, " ids"]:
    """Computes the rank of each id in ascending order: by number where all are whole numbers, else by text."""
    numbers = ids.cast(pl.Int64, strict=False)
    return (ids if numbers.null_count() else numbers).rank("ordinal").to_numpy().astype(np.int64) - 1
