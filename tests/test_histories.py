"""Histories however people have them: lists, and tables of polars, pandas and arrow, with and without times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from small_shop import shop, shop_by_times

from genrec.errors import ConfigError, DataError
from genrec.recommender.histories import read_histories, read_table
from genrec.recommender.recommender import Recommender

IDS = pl.Series("item_id", [f"i{row}" for row in range(9)])
IDX = {item_id: row for row, item_id in enumerate(IDS)}
KINDS: dict[str, Callable[[pl.DataFrame], Any]] = {
    "polars": lambda frame: frame,
    "lazy": lambda frame: frame.lazy(),
    "pandas": lambda frame: pd.DataFrame(frame.to_dict(as_series=False)),
    "arrow": lambda frame: pa.table(frame.to_dict(as_series=False)),
}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.integers(-3, 3)), min_size=1), st.booleans())
def test_a_table_is_read_as_the_lists_in_it(events: list[tuple[str, int, int]], by_position: bool) -> None:
    users = list(dict.fromkeys(user for user, _, _ in events))
    own = {user: sorted((e for e in events if e[0] == user), key=lambda e: -e[2] if by_position else e[2]) for user in users}
    histories = [[f"i{item}" for _, item, _ in own[user]] for user in users]
    expected = read_histories(histories, IDX, [[time for _, _, time in own[user]] for user in users])
    columns = {"user_id": [e[0] for e in events], "item_id": [f"i{e[1]}" for e in events], "timestamp": [e[2] for e in events]}
    found = read_table(pl.DataFrame(columns | ({"position": [-e[2] for e in events]} if by_position else {})), IDS)
    assert found.users is not None
    assert found.users.to_list() == users
    assert found.unknown == expected.unknown
    for name in ("item_idx", "offsets", "times"):
        one, other = getattr(found.sequences, name), getattr(expected.sequences, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_is_answered_alike(kind: str) -> None:
    recommender, when = Recommender(shop(40)), datetime(2024, 1, 1, tzinfo=UTC)
    rows = [(7, "i3", when.replace(day=2)), (5, None, None), (7, "nobody", when), (9, "i5", when), (7, "i1", when)]
    table = KINDS[kind](pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))
    with pytest.warns(UserWarning, match="'nobody'"):
        answers = recommender.recommend(table, 4)
    expected = recommender.recommend([["i1", "i3"], [], ["i5"]], 4)
    assert answers.columns == ["user_id", "rank", "item_id", "score"]
    assert answers["user_id"].to_list() == [user for user in (7, 5, 9) for _ in range(4)]
    assert answers.drop("user_id").equals(expected.drop("history"))


def test_integers_are_read_as_prepare_reads_them_and_a_column_is_one_list() -> None:
    found = read_table(pl.DataFrame({"user_id": ["u", "u"], "item_id": [11, 12]}), pl.Series("item_id", ["10", "11", "12"]))
    assert found.sequences[0].tolist() == [1, 2]
    assert found.sequences.times is None
    recommender = Recommender(shop(40))
    for column in (pl.Series(["i1", "i2"]), pd.Series(["i1", "i2"]), np.array(["i1", "i2"])):
        assert recommender.recommend(column, 3).equals(recommender.recommend(["i1", "i2"], 3))


def timed() -> Recommender:
    return Recommender(shop_by_times(9))


def test_a_generator_that_looks_at_times_is_given_them() -> None:
    recommender, history = timed(), ["i1", "gone", "i3", "i4"]
    with pytest.warns(UserWarning, match="'gone'"):
        answers = recommender.recommend([history, []], times=[[5, 8, 9, 500], []])
    assert_frame_equal(answers.filter(history=0), recommender.recommend(["i1", "i3", "i4"], times=[5, 9, 500.0]))
    other = recommender.recommend(["i1", "i3", "i4"], times=[5, 9, 10])
    assert not np.allclose(other.sort("item_id")["score"], answers.filter(history=0).sort("item_id")["score"], atol=1e-3)
    table = pl.DataFrame({"user_id": "u", "item_id": ["i4", "i1", "i3"], "timestamp": [500.0, 5.0, 9.0]})
    assert_frame_equal(recommender.recommend(table).drop("user_id"), answers.filter(history=0).drop("history"))
    best = answers["item_id"][0]
    scored = recommender.score(["i1", "i3", "i4"], [best], times=[5, 9, 500])["score"][0]
    assert recommender.explain(["i1", "i3", "i4"], best, times=[5, 9, 500]).log_prob == pytest.approx(scored, abs=1e-5)
    for ask in (lambda: recommender.recommend(["i1"]), lambda: recommender.recommend(table.drop("timestamp"))):
        with pytest.raises(ConfigError, match="expected times with every history, got none; give times"):
            ask()


@pytest.mark.parametrize(
    "times", [[[1, 2], []], [[1, 2, 3]], [[1, 2, float("nan")], []], [[1, 2, "3"], []], [[1, 2, 2**62], []]]
)
def test_times_that_do_not_fit(times: Any) -> None:
    with pytest.raises(DataError, match="times"):
        timed().recommend([["i1", "i2", "i3"], []], times=times)


def test_memory_is_told() -> None:
    recommender = timed()
    told = recommender.memory
    assert told["weights"] == sum(weight.nbytes for weight in recommender.catalogue.generator.parameters())
    assert told["trie"] == told["ids"] == told["vectors"] == 0
    assert 9 * 50 < told["items"] < told["process"]
    assert Recommender(shop(40)).memory["ids"] > 0
    assert repr(recommender) == f"Recommender(HSTU, 9 items, {sum(told.values()) / 1e6 - told['process'] / 1e6:.1f} MB)"
