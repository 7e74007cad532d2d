"""Where each held-out item stands in its user's list: the one join that every ranking metric starts from."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Int64

from genrec.core.dataset import Dataset
from genrec.errors import DataError
from genrec.metrics.lib.ties import with_ties
from genrec.protocols.metrics import Hits as Hits
from genrec.types import ITEM_ID, TIE_SIZE, TIE_START, USER_ID, WEIGHT, Split


def targets_of(dataset: Dataset, split: Split) -> pl.DataFrame:
    """The held-out (``user_id``, ``item_id``) pairs of a split, in user order; an item held out twice is one target."""
    targets = dataset.targets(split)
    pairs = pl.DataFrame(
        {USER_ID: dataset.user_ids.gather(targets.user_idx), ITEM_ID: dataset.item_ids.gather(targets.item_idx)}
    )
    return pairs.unique(maintain_order=True)


def find_hits(table: pl.DataFrame, targets: pl.DataFrame) -> Hits:
    """Joins a recommendations table with the targets.

    Args:
        table: ``user_id``, ``item_id``, ``rank`` (1-based) or ``score``; ``tie_start`` and ``tie_size``, or they are made from
            equal scores (see ``with_ties``). One split.
        targets: different (``user_id``, ``item_id``) pairs, in user order; a column ``weight`` (> 0) where they are not worth
            the same.

    Raises:
        DataError: when a column is missing, a rank lies outside its tie group, or a list names a target twice.
    """
    table = with_ties(table)
    users = targets.group_by(USER_ID, maintain_order=True).len().with_row_index("row")
    hits = targets.join(table, on=[USER_ID, ITEM_ID]).join(users, on=USER_ID).sort("row", TIE_START)
    twice = hits.filter(hits.select(USER_ID, ITEM_ID).is_duplicated())
    if twice.height:
        raise DataError(
            f"recommendations of user {twice[USER_ID][0]}",
            expected="different items in a list",
            got=f"item {twice[ITEM_ID][0]} twice",
            fix="list an item once",
        )
    weighted = WEIGHT in targets.columns
    return Hits(
        user_ids=users[USER_ID],
        num_targets=_int64(users["len"]),
        user=_int64(hits["row"]),
        tie_start=_int64(hits[TIE_START]),
        tie_size=_int64(hits[TIE_SIZE]),
        weight=hits[WEIGHT].to_numpy() if weighted else None,
        target_weights=targets.join(users, on=USER_ID).sort("row", -pl.col(WEIGHT))[WEIGHT].to_numpy() if weighted else None,
    )


def _int64(column: pl.Series) -> Int64[np.ndarray, " rows"]:
    return column.to_numpy().astype(np.int64)
