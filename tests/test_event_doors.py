"""What is known of events, of the wanted item and of the user passes every door of a package: Python, tables, HTTP."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from small_bundle import GENERATORS, TINY
from small_shop import shop, shop_with_columns
from test_service import served

import genrec
from genrec.core.dataset import Dataset
from genrec.data.event_columns import asked_for
from genrec.decoding.lib.batch_decoding import recommend_users
from genrec.errors import ConfigError, DataError
from genrec.recommender.batch_lists import recommend_shards
from genrec.recommender.catalogue import Catalogue
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
    renamed = {"timestamp" if name == "time" else name: value for name, value in ASKED.items()}
    again = CATALOGUE.read(replace(request, request=renamed)).sequences.request
    assert {name: values.tolist() for name, values in again.items()} == asked


def test_times_that_are_not_known() -> None:
    """None for a time, in entries, beside them and in a table: unknown, and the last known one counts."""
    entries = [{**HISTORY[0], "time": MONDAY}, {"item_id": "i2", "time": None}, HISTORY[2]]
    request = RecommendRequest(histories=[entries, [{"item_id": "i1", "time": None}]], request=ASKED)
    ids = [[entry["item_id"] for entry in entries], ["i1"]]
    beside = RecommendRequest(histories=ids, times=[[MONDAY, None, MONDAY + 3600], [None]], request=ASKED)
    rows = [("u", "i3", MONDAY, 0), ("u", "i2", None, 1), ("u", "i1", MONDAY + 3600, 2), ("v", "i1", None, 0)]
    table = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "position"], orient="row")
    for read in map(CATALOGUE.read, (request, beside, RecommendRequest(histories=table, request=ASKED))):
        assert read.sequences.columns["timestamp.gap"].tolist() == [0, 0, 12, 0]
        assert read.sequences.columns["timestamp.hour"].tolist() == [1, 0, 2, 0]
        assert read.sequences.request["timestamp.gap"].tolist() == [12, 0]
        assert read.sequences.request["timestamp.hour"].tolist() == [3, 3]
    assert RecommendRequest(histories=[[{"item_id": "i1", "time": None}], [{"item_id": "i2"}]]).times is None


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


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_batch_lists_take_the_columns_along(recommender: Recommender, tmp_path: Path, ending: str) -> None:
    nothing = {"event_type": None, "rating": None}
    entries = [{**nothing, **entry, "timestamp": entry["time"]} for entry in (HISTORY[0], HISTORY[2])]
    table = pl.DataFrame([{"user_id": user, **entry} for user in ("a", "b") for entry in entries]).drop("time")
    file = tmp_path / f"events.{ending}"
    getattr(table, f"write_{ending}")(file)
    request, user = {"event_type": "buy", "time": MONDAY + 7200}, {"age": "old"}
    settings = RecommendRequest(histories=[[]], k=4, request=request, user=user)
    plan = recommend_shards(CATALOGUE, file, tmp_path / "out", settings, bundle="b", log=lambda line: None)
    assert (plan["request"], plan["user"]) == (request, user)
    lists = pl.read_parquet(tmp_path / "out" / "part-00000.parquet").sort("user_id", "rank")
    expected = recommender.recommend(table, 4, request=request, user=user).sort("user_id", "rank")
    assert lists["item_id"].to_list() == expected["item_id"].to_list()
    assert lists["score"].to_list() == pytest.approx(expected["score"].to_list(), abs=1e-5)
    for others in ({"request": {}}, {"user": {}}):
        with pytest.raises(ConfigError, match="lists by"):
            recommend_shards(CATALOGUE, file, tmp_path / "out", replace(settings, **others), bundle="b")


def with_arbitrary_weights(catalogue: Catalogue) -> Catalogue:
    """A catalogue whose generator reacts strongly to all that it reads."""
    torch.manual_seed(0)
    for weight in catalogue.generator.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return catalogue


@pytest.mark.slow
def test_a_package_reads_what_the_prepared_data_say(tmp_path: Path) -> None:
    """The same events, as a caller writes them, make the numbers that training sees; a run's lists are the package's."""
    columns = "events.columns={event_type: category, rating: number, timestamp: time}"
    asking = ["events.request=[event_type, timestamp]", "events.users={age_group: category}"]
    settings = [*TINY, "data=demo_events", *GENERATORS["encdec"], "generator=encdec", columns, *asking]
    run = genrec.run(until="export", quiet=True, overrides=[*settings, f"paths.runs={tmp_path}", "name=tiny"]).path
    recommender = genrec.load(run / "bundle")
    catalogue, dataset = with_arbitrary_weights(recommender.catalogue), Dataset.load(run / "dataset")
    request = asked_for(dataset, "test", {"event_type": "purchase", "timestamp": "target"})
    histories, users = replace(dataset.histories("test"), request=request), np.arange(40)
    decoded = recommend_users(
        catalogue.generator, catalogue.strategy, catalogue.trie, histories, users, k=5, exclude_seen=True, batch_size=16
    )
    events = pl.read_parquet(run / "dataset" / "interactions.parquet").with_columns(time="timestamp")
    past, rest = events.filter(pl.col("part") != "test"), events.filter(pl.col("part") == "test")
    ids = dataset.user_ids.gather(users).to_list()
    entries = [past.filter(user_id=user).select("item_id", "time", "event_type", "rating").to_dicts() for user in ids]
    asked = [{"event_type": "purchase", "time": rest.filter(user_id=user)["time"][0]} for user in ids]
    (column,) = dataset.schema.users
    about = [{column.name: column.vocabulary[code - 1]} for code in dataset.events.users[column.name][users]]
    listed = recommender.recommend(entries, 5, request=asked, user=about, exclude_seen=True, batch_size=16)
    assert listed["item_id"].to_list() == dataset.item_ids.gather(decoded["item_idx"]).to_list()
    assert np.allclose(listed["score"], decoded["score"], atol=1e-5)
    other = recommender.recommend(entries, 5, request={"event_type": "view"}, user=about, exclude_seen=True)
    assert not np.allclose(other["score"], listed["score"], atol=1e-2)
