"""From a table of recommendations to what metrics read: tie groups, hits of targets, first k items, means over users."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int64

from genrec.core.dataset import Dataset
from genrec.errors import DataError
from genrec.protocols.metrics import HitMetric
from genrec.protocols.metrics import Hits as Hits
from genrec.protocols.metrics import Lists as Lists
from genrec.types import ITEM_ID, ITEM_IDX, PAD, RANK, SCORE, SPLIT, TIE_SIZE, TIE_START, USER_ID, USER_IDX, WEIGHT, Split

LAST = "last"  # rank of the last item of a tie group


def with_ties(table: pl.DataFrame) -> pl.DataFrame:
    """The table with ``rank``, ``tie_start`` and ``tie_size``, as far as it lacks them.

    Without ranks, a list is ordered by descending score; without tie columns, neighbours with equal scores of one list are
    equally good. Ranks win over scores: a list that is not in the order of its scores (re-ranked, say) keeps its order. Without
    scores every item stands alone.

    Args:
        table: ``user_id``, ``item_id`` and ``rank`` (1-based) or ``score``; lists differ in ``user_id`` and, if there is one,
            ``split``. Columns beyond these stay.

    Raises:
        DataError: when a column is missing, ranks do not count from 1, or the tie groups of a list overlap.

    Examples:
        >>> table = pl.DataFrame({"user_id": list("aaa"), "item_id": list("xyz"), "score": [0.5, 0.9, 0.5]})
        >>> with_ties(table).select("item_id", "rank", "tie_start", "tie_size").rows()
        [('x', 2, 2, 2), ('y', 1, 1, 1), ('z', 3, 2, 2)]
    """
    needed = (USER_ID, ITEM_ID, SCORE if SCORE in table.columns and RANK not in table.columns else RANK)
    for column in needed:
        if column not in table.columns:
            raise DataError(f"recommendations.{column}", expected="a column", got=table.columns, fix="write it")
    list_columns = [column for column in (SPLIT, USER_ID) if column in table.columns]
    if RANK not in table.columns:
        table = table.with_columns(pl.col(SCORE).rank("ordinal", descending=True).over(list_columns).cast(pl.Int64).alias(RANK))
    if has_ties(table):
        return _check_ties(table)
    if SCORE not in table.columns:
        return _check_ties(table.with_columns(pl.col(RANK).alias(TIE_START), pl.lit(1).alias(TIE_SIZE)))
    row_order, group = "place of the row", "group"
    ordered = table.with_row_index(row_order).sort(*list_columns, RANK)
    new = (pl.col(SCORE) != pl.col(SCORE).shift()) | pl.any_horizontal(pl.col(c) != pl.col(c).shift() for c in list_columns)
    grouped = ordered.with_columns(new.fill_null(True).cum_sum().alias(group))
    tied = grouped.with_columns(pl.col(RANK).first().over(group).alias(TIE_START), pl.len().over(group).alias(TIE_SIZE))
    return _check_ties(tied.sort(row_order).drop(row_order, group))


def has_ties(table: pl.DataFrame) -> bool:
    """Returns whether the table has columns that say which items are equally good."""
    return TIE_START in table.columns and TIE_SIZE in table.columns


def cut_ties(table: pl.DataFrame, ks: Iterable[int]) -> dict[int, int]:
    """Returns how many lists are cut inside a group of equal scores, by the rank of the cut; without those where none is.

    Metrics count such a group by expected rank, so nothing is wrong with them; but a list that ENDS with equal scores may have
    lost some of their group, which nobody can see from the table. Such lists are counted under their own length, unless their
    last group starts beyond every k.

    Args:
        table: as ``with_ties`` gives it.
        ks: the list lengths that are evaluated.

    Examples:
        One list of four, the last three equal: cut at 2 and perhaps at its end:

        >>> table = pl.DataFrame({"user_id": ["a"] * 4, "item_id": list("wxyz"), "score": [0.9, 0.5, 0.5, 0.5]})
        >>> cut_ties(with_ties(table), [1, 2, 10])
        {2: 1, 4: 1}
    """
    list_columns = [column for column in (SPLIT, USER_ID) if column in table.columns]
    ks = sorted(ks)
    groups = table.filter((pl.col(TIE_SIZE) > 1) & (pl.col(RANK) == pl.col(TIE_START))).with_columns(
        (pl.col(TIE_START) + pl.col(TIE_SIZE) - 1).alias(LAST)
    )
    num_cut = {k: groups.filter((pl.col(TIE_START) <= k) & (pl.col(LAST) > k)).height for k in ks}
    ends = table.group_by(list_columns).agg(pl.col(RANK).max())
    open_ends = groups.filter(pl.col(TIE_START) <= ks[-1]).join(
        ends, left_on=[*list_columns, LAST], right_on=[*list_columns, RANK]
    )
    for length, lists in open_ends.group_by(LAST).len().rows():
        num_cut[length] = num_cut.get(length, 0) + lists
    return {k: lists for k, lists in sorted(num_cut.items()) if lists}


def _check_ties(table: pl.DataFrame) -> pl.DataFrame:
    """The table, whose groups are sound: those of a list do not overlap, so k ranks hold at most k items' worth of chance."""
    list_columns = [column for column in (SPLIT, USER_ID) if column in table.columns]
    low = table.filter(pl.col(RANK) < 1)
    if low.height:
        raise DataError(
            f"recommendations of user {low[USER_ID][0]}",
            expected="ranks that count from 1",
            got=f"{RANK} {low[RANK][0]}",
            fix="add 1 to every rank" if low[RANK].min() == 0 else "number each list from 1",
        )
    start, size, rank = pl.col(TIE_START), pl.col(TIE_SIZE), pl.col(RANK)
    outside = table.filter((start < 1) | (rank < start) | (rank >= start + size))
    if outside.height:
        raise _tie_error(outside, "1 <= tie_start <= rank < tie_start + tie_size", "give each row the ranks of its own group")
    # Beside the row before it in its list, a row goes on with the same group, or opens one behind that group's last rank.
    before = [pl.col(column).shift().over(list_columns).alias(f"{column} before") for column in (RANK, TIE_START, TIE_SIZE)]
    ordered = table.sort(*list_columns, RANK).with_columns(before)
    rank_before, start_before, size_before = (pl.col(f"{column} before") for column in (RANK, TIE_START, TIE_SIZE))
    goes_on = (start == start_before) & (size == size_before) & (rank > rank_before)
    opens = start >= start_before + size_before
    broken = ordered.filter(rank_before.is_not_null() & ~goes_on & ~opens)
    if broken.height:
        expected = "groups of equal scores that share one tie_start and tie_size and do not overlap"
        raise _tie_error(
            broken, expected, "correct them, or leave both columns out: equal scores are found from a column score"
        )
    return table


def _tie_error(rows: pl.DataFrame, expected: str, fix: str) -> DataError:
    got = rows.select(RANK, TIE_START, TIE_SIZE).row(0, named=True)
    return DataError(f"recommendations of user {rows[USER_ID][0]}", expected=expected, got=got, fix=fix)


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
