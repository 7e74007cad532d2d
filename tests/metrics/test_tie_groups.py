"""Tie groups that a table brings itself: sound ones are taken, others refused; k ranks never hold more than k items' worth."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.errors import DataError
from genrec.metrics.lib.tables import with_ties

Row = tuple[int, int, int]  # rank, tie_start, tie_size


def table(rows: list[Row], user: str = "a") -> pl.DataFrame:
    columns = {"rank": 0, "tie_start": 1, "tie_size": 2}
    told = {name: [row[place] for row in rows] for name, place in columns.items()}
    return pl.DataFrame({"split": "test", "user_id": user, "item_id": [f"i{n}" for n in range(len(rows))], **told})


SOUND: dict[str, list[Row]] = {
    "alone": [(1, 1, 1), (2, 2, 1), (3, 3, 1)],
    "one group": [(1, 1, 3), (2, 1, 3), (3, 1, 3)],
    "two groups": [(1, 1, 2), (2, 1, 2), (3, 3, 2), (4, 3, 2)],
    "the last is cut": [(1, 1, 1), (2, 2, 5), (3, 2, 5)],
    "rows in any order": [(3, 3, 2), (1, 1, 2), (4, 3, 2), (2, 1, 2)],
    "one row is not listed": [(1, 1, 3), (3, 1, 3), (4, 4, 1)],
}
UNSOUND: dict[str, list[Row]] = {
    "all start at the first": [(1, 1, 1), (2, 1, 2), (3, 1, 3)],
    "one start, two sizes": [(1, 1, 2), (2, 1, 3)],
    "overlapping": [(1, 1, 2), (2, 2, 2), (3, 2, 2)],
    "a group inside another": [(1, 1, 4), (2, 2, 1), (3, 1, 4)],
    "nested back": [(1, 1, 3), (2, 2, 1)],
    "the second reaches back": [(1, 1, 1), (2, 2, 1), (3, 2, 2)],
    "one rank twice": [(1, 1, 2), (1, 1, 2)],
    "outside its own": [(1, 2, 2)],
    "behind its own": [(5, 1, 2)],
    "a start of nought": [(1, 0, 2)],
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_groups_are_taken(name: str) -> None:
    both = pl.concat([table(SOUND[name]), table(SOUND["alone"], user="b")])
    assert with_ties(both).equals(both)


@pytest.mark.parametrize("name", UNSOUND)
def test_unsound_groups_are_refused(name: str) -> None:
    both = pl.concat([table(SOUND["one group"], user="b"), table(UNSOUND[name])])
    with pytest.raises(DataError, match=r"recommendations of user a: expected .*tie_start"):
        with_ties(both)


@pytest.mark.parametrize(("first", "fix"), [(0, "add 1 to every rank"), (-3, "number each list from 1")])
@pytest.mark.parametrize("ties", [True, False])
def test_ranks_count_from_one(first: int, fix: str, ties: bool) -> None:
    rows = table([(first + n, first + n, 1) for n in range(4)])
    with pytest.raises(DataError, match=rf"expected ranks that count from 1, got rank {first}; {fix}"):
        with_ties(rows if ties else rows.drop("tie_start", "tie_size"))


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4)), min_size=1, max_size=6), st.integers(1, 8))
def test_no_more_than_k_items_worth_in_k_ranks(rows: list[Row], k: int) -> None:
    try:
        taken = with_ties(table(rows))
    except DataError:
        return
    worth = ((k - taken["tie_start"] + 1) / taken["tie_size"]).clip(0, 1).sum()
    assert worth <= k + 1e-9
