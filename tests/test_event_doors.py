"""What is known of events, of the wanted item and of the user passes every door of a package: Python, tables, HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from small_shop import shop, shop_with_columns
from test_service import served

from genrec.errors import DataError
from genrec.recommender.recommender import Recommender
from genrec.recommender.requests import RecommendRequest

MONDAY = 1_735_516_800.0  # 2024-12-30, midnight UTC
HISTORY: list[Any] = [
    {"item_id": "i3", "time": MONDAY, "event_type": "view"},
    {"item_id": "gone", "time": MONDAY + 60, "event_type": "buy"},
    {"item_id": "i1", "time": MONDAY + 3600, "event_type": "buy", "rating": 5},
]
ASKED = {"event_type": "buy", "time": MONDAY + 7200}


CATALOGUE = shop_with_columns(30)


@pytest.fixture
def recommender() -> Recommender:
    return Recommender(CATALOGUE)


def test_what_is_read_of_a_request() -> None:
    request = RecommendRequest(histories=[HISTORY, []], request=ASKED, user=[{"age": "young"}, {}])
    read = CATALOGUE.read(request)
    assert read.unknown == [["gone"], []]
    columns = read.sequences.columns
    assert columns["event_type"].tolist() == [2, 1], "words of a vocabulary are in alphabetical order"
    assert np.allclose(columns["rating"], [np.nan, 2.0], equal_nan=True)
    assert columns["timestamp.gap"].tolist() == [0, 12]
    assert columns["timestamp.hour"].tolist() == [1, 2]
    asked = {name: values.tolist() for name, values in read.sequences.request.items()}
    assert asked == {"event_type": [1, 1], "timestamp.gap": [12, 0], "timestamp.hour": [3, 3]}
    assert read.sequences.users["age"].tolist() == [2, 0]
    assert request.histories == [["i3", "gone", "i1"], []]
    assert request.times == [[MONDAY, MONDAY + 60, MONDAY + 3600], []]
    assert replace(request, k=3) == replace(request, k=3)


@pytest.mark.filterwarnings("ignore:histories")
def test_everything_that_is_said_changes_the_list(recommender: Recommender) -> None:
    ids = ["i3", "gone", "i1"]
    plain = recommender.recommend(ids, 8)
    times = [entry["time"] for entry in HISTORY]
    said: list[dict[str, Any]] = [
        {"histories": HISTORY},
        {"histories": ids, "times": times},
        {"histories": ids, "request": {"event_type": "buy"}},
        {"histories": ids, "request": {"event_type": "view"}},
        {"histories": ids, "request": {"time": MONDAY}},
        {"histories": ids, "user": {"age": "old"}},
        {"histories": ids, "user": {"age": "young"}},
    ]
    scores = [tuple(recommender.recommend(k=8, **settings)["score"]) for settings in said]
    assert len({tuple(plain["score"]), *scores}) == len(said) + 1
    for nothing in ({"request": {"event_type": "a word of another shop"}}, {"user": {"age": None}}, {"request": {}}):
        assert recommender.recommend(ids, 8, **nothing).equals(plain)


@pytest.mark.filterwarnings("ignore:histories")
def test_lists_with_columns_and_without_share_a_batch(recommender: Recommender) -> None:
    asked = [ASKED, {}, {"event_type": "view"}]
    histories = [HISTORY, [], HISTORY]
    together = recommender.recommend(histories, 6, request=asked, user={"age": "old"})
    for number, (history, one) in enumerate(zip(histories, asked, strict=True)):
        alone = recommender.recommend([history], 6, request=one, user={"age": "old"})
        part = together.filter(pl.col("history") == number)
        assert part["item_id"].to_list() == alone["item_id"].to_list()
        assert part["score"].to_list() == pytest.approx(alone["score"].to_list(), abs=1e-5)


@pytest.mark.filterwarnings("ignore:histories")
def test_http_answers_as_python_does(recommender: Recommender) -> None:
    settings: dict[str, Any] = {"request": ASKED, "user": {"age": "young"}}
    expected = recommender.recommend([HISTORY], 5, **settings)
    why = recommender.explain(HISTORY, "i7", **settings)
    levels = recommender.beams(HISTORY, 5, **settings)
    with served(catalogue=CATALOGUE) as client:
        listed = client.post("/recommend", json={"histories": [HISTORY, []], "k": 5, **settings}).json()["lists"]
        assert [item["item_id"] for item in listed[0]["items"]] == expected["item_id"].to_list()
        assert [item["score"] for item in listed[0]["items"]] == pytest.approx(expected["score"].to_list(), abs=1e-5)
        assert listed[0]["unknown"] == ["gone"]
        explained = client.post("/explain", json={"history": HISTORY, "item_id": "i7", **settings}).json()
        assert explained["log_prob"] == pytest.approx(why.log_prob, abs=1e-5)
        searched = client.post("/beams", json={"history": HISTORY, "k": 5, **settings}).json()["levels"]
        assert [beam["codes"] for level in searched for beam in level] == levels["codes"].to_list()
    assert why.log_prob != pytest.approx(recommender.explain(HISTORY, "i7").log_prob, abs=1e-3)
    assert why.log_prob == pytest.approx(recommender.score(HISTORY, ["i7"], **settings)["score"][0], abs=1e-5)


@pytest.mark.filterwarnings("ignore:histories")
def test_a_table_has_the_columns_of_the_schema(recommender: Recommender) -> None:
    rows = [{"user_id": "u", "timestamp": entry["time"], "event_type": None, "rating": None, **entry} for entry in HISTORY]
    table = pl.DataFrame(rows).drop("time").with_columns(pl.col("rating").cast(pl.String), colour=pl.lit("red"))
    listed = recommender.recommend(table, 5, request=ASKED)
    assert listed.drop("user_id").equals(recommender.recommend([HISTORY], 5, request=ASKED).drop("history"))


@pytest.mark.parametrize(
    ("body", "where", "got"),
    [
        ({"histories": [[{"item_id": "i1", "colour": "red"}]]}, "histories", "colour"),
        ({"histories": [[{"item": "i1"}]]}, "histories", "{'item': 'i1'}"),
        ({"histories": [[{"item_id": "i1", "event_type": ["buy"]}]]}, "histories, event_type", "['buy']"),
        ({"histories": [[]], "request": {"rating": 3}}, "request", "rating"),
        ({"histories": [[]], "user": {"age": ["x"]}}, "user.age.str", "['x']"),
        ({"histories": [[3]]}, "histories.0.0", "3"),
        ({"histories": [[{str(number): 1 for number in range(51)}]]}, "histories.0.0", "51"),
    ],
)
def test_what_http_refuses(body: dict[str, Any], where: str, got: str) -> None:
    with served(catalogue=CATALOGUE) as client:
        answer = client.post("/recommend", json=body)
        assert (answer.status_code, answer.json()["where"], answer.json()["got"]) == (422, where, got)


def test_a_package_without_columns_refuses_them_in_one_line() -> None:
    plain = Recommender(shop(20))
    for settings in (
        {"histories": [HISTORY]},
        {"histories": [[]], "request": ASKED},
        {"histories": [[]], "user": {"age": "old"}},
    ):
        with pytest.raises(DataError, match="no columns: the package was trained without such"):
            plain.recommend(**settings)
    timed = plain.recommend([[{"item_id": "i1", "time": 5}, "i2"][:1]], 4)
    assert timed.equals(plain.recommend(["i1"], 4))
