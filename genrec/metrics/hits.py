"""Where each held-out item stands in its user's list: the one join that every ranking metric starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int64

from genrec.dataset import Dataset
from genrec.errors import DataError
from genrec.types import ITEM_ID, RANK, TIE_SIZE, TIE_START, USER_ID, Split


@dataclass(frozen=True)
class Hits:
    """The targets that were listed. A group of equally good items is counted by expected rank: the target is equally likely
    at each of the ranks ``tie_start .. tie_start + tie_size - 1``, and metrics average over them.

    Args:
        user_ids: [users], every user with at least one target; users without a target are not counted anywhere.
        num_targets: [users], different target items, at least 1; also of users whose list is missing (they score 0).
        user: [hits], row of the user in ``user_ids``, ascending.
        tie_start: [hits], 1-based rank at which the target's group of equal items starts.
        tie_size: [hits], number of items in that group; 1 without ties.
    """

    user_ids: pl.Series
    num_targets: Int64[np.ndarray, " users"]
    user: Int64[np.ndarray, " hits"]
    tie_start: Int64[np.ndarray, " hits"]
    tie_size: Int64[np.ndarray, " hits"]

    @property
    def num_users(self) -> int:
        return len(self.num_targets)

    def per_user(self, gains: Float[np.ndarray, " hits"]) -> Float[np.ndarray, " users"]:
        """Sums a figure of the hits over each user."""
        return np.bincount(self.user, weights=gains, minlength=self.num_users)


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
        table: ``user_id``, ``item_id``, ``rank`` (1-based); ``tie_start`` and ``tie_size`` where equal scores occur. One split.
        targets: different (``user_id``, ``item_id``) pairs.

    Raises:
        DataError: when a column is missing, a rank lies outside its tie group, or a list names a target twice.
    """
    for column in (USER_ID, ITEM_ID, RANK):
        if column not in table.columns:
            raise DataError(f"recommendations.{column}", expected="a column", got=table.columns, fix="write it")
    if TIE_START not in table.columns:
        table = table.with_columns(pl.col(RANK).alias(TIE_START), pl.lit(1).alias(TIE_SIZE))
    outside = table.filter(
        (pl.col(TIE_START) < 1) | (pl.col(RANK) < pl.col(TIE_START)) | (pl.col(RANK) >= pl.col(TIE_START) + pl.col(TIE_SIZE))
    )
    if outside.height:
        raise DataError(
            f"recommendations of user {outside[USER_ID][0]}",
            expected="1 <= tie_start <= rank < tie_start + tie_size",
            got=outside.select(RANK, TIE_START, TIE_SIZE).row(0, named=True),
            fix="give each row the ranks of its own group of equal scores",
        )
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

    return Hits(
        user_ids=users[USER_ID],
        num_targets=_int64(users["len"]),
        user=_int64(hits["row"]),
        tie_start=_int64(hits[TIE_START]),
        tie_size=_int64(hits[TIE_SIZE]),
    )


def _int64(column: pl.Series) -> Int64[np.ndarray, " rows"]:
    return column.to_numpy().astype(np.int64)
