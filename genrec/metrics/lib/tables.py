"""From a table of recommendations to what metrics read: hits of targets, the first k items of each list, means over users."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int64

from genrec.core.dataset import Dataset
from genrec.errors import DataError
from genrec.metrics.lib.ties import with_ties
from genrec.protocols.metrics import HitMetric
from genrec.protocols.metrics import Hits as Hits
from genrec.protocols.metrics import Lists as Lists
from genrec.types import ITEM_ID, ITEM_IDX, PAD, RANK, TIE_SIZE, TIE_START, USER_ID, USER_IDX, WEIGHT, Split


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


def first_items(table: pl.DataFrame, dataset: Dataset, split: Split, user_ids: pl.Series, k: int) -> Lists:
    """The first ``k`` items of the lists of ``user_ids``.

    Args:
        table: ``user_id``, ``item_id``, ``rank`` (1-based); one split.
        dataset: for the histories, and the numbers of users and items.
        split: whose histories.
        user_ids: whose lists; users without one get an empty row.
        k: length, >= 1.
    """
    users = pl.DataFrame({USER_ID: user_ids}).with_row_index("row")
    items_table = pl.DataFrame({ITEM_ID: dataset.item_ids}).with_row_index(ITEM_IDX)
    shown = table.filter(pl.col(RANK) <= k).join(users, on=USER_ID).join(items_table, on=ITEM_ID)
    items = np.full((len(user_ids), k), PAD, dtype=np.int64)
    items[shown["row"].to_numpy(), shown[RANK].to_numpy().astype(np.int64) - 1] = shown[ITEM_IDX].to_numpy()

    rows = users.join(pl.DataFrame({USER_ID: dataset.user_ids}).with_row_index(USER_IDX), on=USER_ID, maintain_order="left")
    return Lists(items, dataset.histories(split).of(rows[USER_IDX].to_numpy().astype(np.int64)))


def mean_over_users(metric: HitMetric, table: Any, targets: Any, k: int) -> float:
    """Returns the mean of a metric over all users with a target; a user without a list counts 0.

    Args:
        metric: counts.
        table: recommendations, with ``user_id``, ``item_id``, and ``rank`` (1-based) or ``score``; polars, pandas or arrow.
        targets: (``user_id``, ``item_id``) pairs, perhaps with a ``weight``.
        k: list length, >= 1.

    Raises:
        DataError: when a column is missing, or a list names a target twice.
    """
    return float(metric.from_hits(find_hits(_polars(table), _polars(targets)), k).mean())


def _polars(table: Any) -> pl.DataFrame:
    return table if isinstance(table, pl.DataFrame) else pl.DataFrame(table)
