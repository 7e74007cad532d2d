"""What a recommender says beside its lists: how probable, how like, and why."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from small_shop import shop

from genrec.errors import ConfigError, DataError
from genrec.recommender.item_table import ItemTable
from genrec.recommender.recommender import Recommender

HISTORY = ["i3", "i1", "i4", "i1", "i5"]


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return Recommender(shop(40))


def test_scores_are_those_of_a_search_through_everything(recommender: Recommender) -> None:
    everything = recommender.recommend(HISTORY, k=40, exclude_seen=False)
    scored = recommender.score(HISTORY, everything["item_id"])
    assert scored["item_id"].to_list() == everything["item_id"].to_list()
    np.testing.assert_allclose(scored["score"], everything["score"], atol=1e-5)
    assert np.exp(scored["score"].to_numpy()).sum() == pytest.approx(1, abs=1e-4)


def test_an_explanation_is_made_of_scores(recommender: Recommender) -> None:
    def of(history: list[str]) -> float:
        return float(recommender.score(history, ["i7"])["score"][0])

    why = recommender.explain(HISTORY, "i7", last=3)
    assert why.item_id == "i7"
    assert why.log_prob == pytest.approx(of(HISTORY), abs=1e-5)
    assert why.path is not None
    assert why.path["log_prob"].sum() == pytest.approx(why.log_prob, abs=1e-5)
    assert recommender.sids is not None
    assert tuple(why.path["code"]) == recommender.sids.row(7)[1:]
    assert why.path["choices"][0] == recommender.sids["code_0"].n_unique()
    weights = [of(HISTORY) - of(HISTORY[:place] + HISTORY[place + 1 :]) for place in (2, 3, 4)]
    expected = sorted(zip(weights, HISTORY[2:], strict=True), reverse=True)
    assert why.because["item_id"].to_list() == [item_id for _, item_id in expected]
    np.testing.assert_allclose(why.because["weight"], [weight for weight, _ in expected], atol=1e-4)
    assert recommender.explain([], "i7").because.height == 0


def test_similar_items_share_their_first_codes(recommender: Recommender) -> None:
    assert recommender.sids is not None
    own, *others = (np.array(row[1:]) for row in recommender.sids.rows())
    expected = [np.logical_and.accumulate(other == own).mean() for other in others]
    found = recommender.similar("i0", k=99)
    assert found["rank"].to_list() == list(range(1, 40))
    scores = dict(zip(found["item_id"], found["score"], strict=True))
    np.testing.assert_allclose([scores[f"i{row}"] for row in range(1, 40)], expected, atol=1e-6)
    assert found["score"].is_sorted(descending=True)
    fewer = Recommender(shop(40))
    fewer.remove_items(found["item_id"][:1])
    expected_ids = found.filter(pl.col("item_id").str.slice(1).cast(int) % 2 == 0)["item_id"]
    assert fewer.similar("i0", k=99, filter="even == true")["item_id"].to_list() == [
        item_id for item_id in expected_ids if item_id != found["item_id"][0]
    ]


def test_unknown_ids(recommender: Recommender) -> None:
    with pytest.warns(UserWarning, match="'nobody'"):
        assert recommender.score(["nobody"], ["i1"]).equals(recommender.score([], ["i1"]))
    for ask in (lambda: recommender.similar("nobody"), lambda: recommender.score([], ["nobody"])):
        with pytest.raises(DataError, match="nobody"):
            ask()
    with pytest.raises(ConfigError, match="got prise"):
        recommender.similar("i1", filter="prise < 3")


def test_groups_of_a_quota() -> None:
    """Items with the same value are of one group, whatever the type of the column; what has none is bound by nothing."""
    columns = {
        "brand": ["OPI", None, "Essie", "OPI"],
        "price": [1.5, float("nan"), None, 1.5],
        "stock": [3, 3, None, 0],
        "new": [True, None, False, True],
        "day": pl.Series(["2024-01-01", "2024-01-02", None, "2024-01-01"]).str.to_date(),
    }
    table = ItemTable(pl.DataFrame({"item_id": list("abcd"), **columns}), None)
    groups = {column: table.groups(column).tolist() for column in ["item_id", *columns]}
    assert groups == {
        "item_id": [0, 1, 2, 3],
        "brand": [0, -1, 2, 0],
        "price": [0, 1, -1, 0],
        "stock": [0, 0, -1, 3],
        "new": [0, -1, 2, 0],
        "day": [0, 1, -1, 0],
    }


def test_numbers_of_numpy_are_numbers(recommender: Recommender) -> None:
    """What comes out of a table is an answer, not an error."""
    plain = recommender.recommend(HISTORY, 3, quota={"even": 2}, steer={"even == true": 1.5}, exclude_seen=False)
    for whole, real, truth in ((np.int64, np.float32, np.bool_), (np.uint8, np.float64, bool), (int, np.int32, np.bool_)):
        amount = real(1.5) if np.issubdtype(real, np.floating) else 1.5
        asked = recommender.recommend(
            np.array(HISTORY),
            whole(3),
            quota={"even": whole(2)},
            steer={"even == true": amount},
            exclude_seen=truth(False),
            batch_size=whole(7),
        )
        assert asked["item_id"].to_list() == plain["item_id"].to_list()
    assert recommender.similar("i1", np.int16(2)).height == 2
    assert recommender.explain(HISTORY, "i7", last=np.int64(0)).because.height == 0
    assert recommender.recommend((tuple(HISTORY), pl.Series(HISTORY)), 2).height == 4
    assert recommender.recommend([[]], 3)["history"].to_list() == [0, 0, 0]
    assert recommender.recommend(HISTORY, 3, quota={"even": 10**30}).height == 3


def test_items_may_come_as_any_table() -> None:
    """Ids that histories take as integers are taken as integers here, too."""
    import pandas as pd

    shop_of_more = Recommender(shop(12))
    for table, name in (
        (pl.DataFrame({"item_id": ["a"], "even": [True]}), "a"),
        (pl.LazyFrame({"item_id": ["b"], "even": [True]}), "b"),
        (pd.DataFrame({"item_id": ["c"], "even": [True]}), "c"),
        (pl.DataFrame({"item_id": [1193], "even": [True]}), "1193"),
        ([{"item_id": "d", "even": None}], "d"),
        (({"item_id": "e"} for _ in range(1)), "e"),
    ):
        assert shop_of_more.add_items(table).added == (name,)
    history = pl.DataFrame({"user_id": ["u"], "item_id": [1193]})
    assert shop_of_more.recommend(history, 3).height == 3
