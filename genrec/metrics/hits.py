"""Where each held-out item stands in its user's list: the one join that every ranking metric starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int64

from genrec.dataset import Dataset
from genrec.errors import DataError
from genrec.metrics.ties import with_ties
from genrec.types import ITEM_ID, TIE_SIZE, TIE_START, USER_ID, WEIGHT, Split


@dataclass(frozen=True)
class Hits:
    """The targets that were listed. A group of equally good items is counted by expected rank: the target is equally likely
    at each of the ranks ``tie_start .. tie_start + tie_size - 1``, and metrics average over them.

    Args:
        user_ids: [users], every user with at least one target; users without a target are not counted anywhere.
        num_targets: [users], different target items, at least 1; also of users whose list is missing (they score 0).
        user: [hits], row of the user in ``user_ids``, ascending.
        tie_start: [hits], 1-based rank at which the target's group of equal items starts; ascending within a user.
        tie_size: [hits], number of items in that group; 1 without ties.
        weight: [hits], what each is worth, > 0; None: all the same. Only recall and ndcg look at weights.
        target_weights: [targets] of all targets, listed or not, users in the order of ``user_ids``, each user's largest first;
            None with ``weight``.
    """

    user_ids: pl.Series
    num_targets: Int64[np.ndarray, " users"]
    user: Int64[np.ndarray, " hits"]
    tie_start: Int64[np.ndarray, " hits"]
    tie_size: Int64[np.ndarray, " hits"]
    weight: Float[np.ndarray, " hits"] | None = None
    target_weights: Float[np.ndarray, " targets"] | None = None

    @property
    def num_users(self) -> int:
        return len(self.num_targets)

    def per_user(self, gains: Float[np.ndarray, " hits"]) -> Float[np.ndarray, " users"]:
        """Sums a figure of the hits over each user."""
        return np.bincount(self.user, weights=gains, minlength=self.num_users)

    @property
    def total_weight(self) -> Float[np.ndarray, " users"]:
        """What all targets of each user are worth together; their number without weights."""
        if self.target_weights is None:
            return self.num_targets.astype(np.float64)
        return np.add.reduceat(self.target_weights, self.first_target)

    @property
    def first_target(self) -> Int64[np.ndarray, " users"]:
        """Where each user's part of ``target_weights`` starts."""
        return np.cumsum(self.num_targets) - self.num_targets

    def listed_until(self, k: int) -> Float[np.ndarray, " hits"]:
        """The probability that each of them stands among the first ``k``."""
        return np.clip((k - self.tie_start + 1) / self.tie_size, 0.0, 1.0)

    def weighted(self, gains: Float[np.ndarray, " hits"]) -> Float[np.ndarray, " hits"]:
        """A figure of the hits times what each is worth."""
        return gains if self.weight is None else gains * self.weight


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
