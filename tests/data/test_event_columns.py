"""Columns of events, requests and users: what they are fitted on, how they are encoded, where they are kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from genrec.core.batch import MISSING_TIME, Batch
from genrec.core.dataset import Dataset, Sequences
from genrec.core.event_schema import UNKNOWN, final_times, previous_times, time_codes
from genrec.data.amazon import Amazon
from genrec.data.event_columns import EventColumns, asked_for
from genrec.data.huggingface import HuggingFace
from genrec.data.nested import NestedEvents
from genrec.data.sequences import SequenceFile
from genrec.data.tables import Tables
from genrec.errors import ConfigError, DataError
from genrec.protocols import ReadsColumns
from genrec.training.plan import BatchPlan
from genrec.training.target_weights import target_weights

MONDAY = 1_735_516_800.0  # 2024-12-30, midnight UTC
EVENTS = pl.DataFrame(
    {
        "event_type": ["view", "view", "buy", "gift", "view", "buy", None, "buy"],
        "rating": [None, None, 2.0, 50.0, None, 4.0, 1.0, 9.0],
    }
)
USERS = pl.DataFrame({"user_id": ["b", "a"], "age": ["young", "old"]})
COLUMNS = EventColumns(
    columns={"event_type": "category", "rating": "number", "timestamp": "time"},
    request=["event_type", "timestamp"],
    users={"age": "category"},
)


def shop() -> Dataset:
    """Two users of four events; the last of each is held out."""
    return Dataset(
        items=pl.DataFrame({"item_id": ["i0", "i1", "i2", "i3"]}),
        users=pl.DataFrame({"user_id": ["a", "b"]}),
        events=Sequences(np.array([0, 1, 2, 3, 3, 2, 1, 0], np.int32), np.array([0, 4, 8])),
        train_ends=np.array([3, 7]),
        validation_ends=np.array([3, 7]),
        timestamps=MONDAY + np.array([0.0, 3600, 3601, 90_000, 5, 5, 8, 86_400 * 6]),
    )


def shop_with_columns() -> Dataset:
    return COLUMNS.added_to(shop(), EVENTS, USERS)


def test_vocabularies_and_scales_are_those_of_the_training_part() -> None:
    dataset = shop_with_columns()
    assert dataset.schema["event_type"].vocabulary == ("buy", "view")  # a gift was never trained on
    assert dataset.events.columns["event_type"].tolist() == [2, 2, 1, UNKNOWN, 2, 1, UNKNOWN, 1]
    rating = dataset.schema["rating"]
    assert (rating.mean, rating.std) == pytest.approx((7 / 3, np.std([2, 4, 1])))
    assert np.isnan(dataset.events.columns["rating"]).tolist() == [True, True, False, False, True, False, False, False]
    assert dataset.events.users["age"].tolist() == [1, 2]  # old, young


def test_times_give_gap_hour_and_weekday() -> None:
    columns = shop_with_columns().events.columns
    # gaps: none before the first, then 3600, 1, 86399; 0, 3, 518392 seconds in buckets that double
    assert columns["timestamp.gap"].tolist() == [0, 12, 2, 17, 0, 1, 3, 19]
    assert columns["timestamp.hour"].tolist() == [1, 2, 2, 2, 1, 1, 1, 1]
    assert columns["timestamp.weekday"].tolist() == [1, 1, 1, 2, 1, 1, 1, 7]
    assert time_codes("hour", np.array([np.nan]), np.array([np.nan])).tolist() == [UNKNOWN]
    positions = replace(shop(), timestamps=np.arange(8.0))
    assert COLUMNS.added_to(positions, EVENTS, USERS).schema.time_parts == ("gap",)  # no calendar


def test_times_that_are_missing_are_unknown_and_the_last_one_counts() -> None:
    times = np.array([np.nan, 3.0, np.nan, 10.0, np.nan, np.nan, 4.0])
    offsets = np.array([0, 4, 4, 6, 7])
    np.testing.assert_array_equal(previous_times(times, offsets), [np.nan, np.nan, 3, 3, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(final_times(times, offsets), [10, np.nan, np.nan, 4])
    clock = pl.Series("timestamp", [MONDAY, None, MONDAY + 3601, MONDAY + 90_000, None, MONDAY + 5, MONDAY + 8, None])
    partial = replace(shop(), timestamps=None)
    dataset = COLUMNS.added_to(partial, EVENTS.with_columns(clock), USERS)
    columns = dataset.events.columns
    # gaps: 3601 and 86399 seconds; then 3 after the first time that there is
    assert columns["timestamp.gap"].tolist() == [0, 0, 12, 17, 0, 0, 3, 0]
    assert columns["timestamp.hour"].tolist() == [1, 0, 2, 2, 0, 1, 1, 0]
    assert columns["timestamp.weekday"].tolist() == [1, 0, 1, 2, 0, 1, 1, 0]
    for table in (EVENTS, EVENTS.with_columns(timestamp=pl.lit(None, pl.Int64))):
        with pytest.raises(DataError, match=r"events\.columns\.timestamp: expected events with times, got none"):
            COLUMNS.added_to(partial, table, USERS)


def test_a_saved_dataset_knows_the_times_that_there_are(tmp_path: Path) -> None:
    partial = replace(shop(), timestamps=None)
    partial.save(tmp_path)
    assert Dataset.load(tmp_path).times is None
    assert shop().times is not None
    clock = pl.Series("timestamp", [1, None, 3, 4, None, None, 7, 8], pl.Int64)
    pl.DataFrame({"timestamp": clock}).write_parquet(tmp_path / "interactions.parquet")
    dataset = Dataset.load(tmp_path)
    assert dataset.timestamps is None, "what needs all times finds none"
    batch = Batch.of_histories(dataset.histories("test"), np.array([0, 1]), 5)
    assert batch.times is not None
    assert batch.times.tolist() == [[1, MISSING_TIME, 3], [MISSING_TIME, MISSING_TIME, 7]]


def test_a_dataset_keeps_its_columns(tmp_path: Path) -> None:
    dataset = shop_with_columns()
    dataset.save(tmp_path)
    again = Dataset.load(tmp_path)
    assert again.schema == dataset.schema
    for split in ("validation", "test"):
        expected, sequences = dataset.histories(split), again.histories(split)  # type: ignore[arg-type]
        assert {name: values.tolist() for name, values in sequences.columns.items() if name != "rating"} == {
            name: values.tolist() for name, values in expected.columns.items() if name != "rating"
        }
    assert not (tmp_path / "texts.parquet").exists()


def test_a_batch_has_the_columns_of_its_events_and_what_is_asked_for() -> None:
    dataset = shop_with_columns()
    request = asked_for(dataset, "test", {"event_type": "buy", "timestamp": "target"})
    histories = replace(dataset.histories("test"), request=request)
    batch = Batch.of_histories(histories.of(np.array([1, 0]), last=2), np.array([0, 1]), 2)
    assert batch.columns["event_type"].tolist() == [[1, 0], [2, 1]]
    assert batch.users["age"].tolist() == [2, 1]
    assert batch.request["event_type"].tolist() == [[1], [1]]
    assert batch.request["timestamp.gap"].tolist() == [[19], [17]]
    assert batch.without_request().request == {}


def test_requests_are_refused_for_what_is_not_asked() -> None:
    dataset = shop_with_columns()
    for request in ({"rating": 3.0}, {"event_type": "gift"}, {"timestamp": 5.0}):
        with pytest.raises(ConfigError, match=r"recommend\.request"):
            asked_for(dataset, "test", request)
    by_time, by_column = (asked_for(dataset, "test", {name: "target"}) for name in ("time", "timestamp"))
    assert by_time.keys() == by_column.keys() == {"timestamp.gap", "timestamp.hour", "timestamp.weekday"}


def _nested(folder: Path) -> Any:
    events = [{"aid": 7, "ts": 1, "type": "view", "device": "app"}, {"aid": 8, "ts": 2, "type": "buy", "device": "web"}]
    pl.DataFrame({"session": [3], "events": [events]}).write_ndjson(folder / "sessions.jsonl")
    return NestedEvents(interactions=folder / "sessions.jsonl", item_id="aid", user_id="session")


def _sequences(folder: Path) -> Any:
    table = pl.DataFrame({"user_id": ["a"], "item_id": [["7", "8"]], "device": [["app", "web"]]})
    table.write_parquet(folder / "lists.parquet")
    return SequenceFile(interactions=folder / "lists.parquet")


def _huggingface(folder: Path) -> Any:
    pl.DataFrame({"user_id": ["a", "a"], "item_id": ["7", "8"], "device": ["app", "web"]}).write_parquet(folder / "hf.parquet")
    return HuggingFace(dataset=folder / "hf.parquet")


def _recbole(folder: Path) -> Any:
    lines = ["user_id:token\titem_id:token\ttimestamp:float\tdevice:token", "a\t7\t1\tapp", "a\t8\t2\tweb"]
    (folder / "shop.inter").write_text("\n".join(lines), encoding="utf-8")
    return Tables(interactions=folder / "shop.inter")


def _amazon(folder: Path) -> Any:
    fields = {"reviewerID": "a", "overall": 5.0, "unixReviewTime": 1}
    lines = [json.dumps(fields | {"asin": item, "device": device}) for item, device in (("7", "app"), ("8", "web"))]
    (folder / "reviews_Beauty_5.json").write_text("\n".join(lines), encoding="utf-8")
    (folder / "meta_Beauty.json").write_text(json.dumps({"asin": "7", "title": "soap"}), encoding="utf-8")
    return Amazon(edition=2014, category="Beauty", folder=str(folder))


@pytest.mark.parametrize("make", [_nested, _sequences, _huggingface, _recbole, _amazon])
def test_every_source_whose_files_have_more_columns_reads_them(make: Callable[[Path], Any], tmp_path: Path) -> None:
    source = make(tmp_path)
    assert isinstance(source, ReadsColumns)
    raw = source.load_with(["device", "colour"])
    assert raw.interactions["device"].to_list() == ["app", "web"]
    assert raw.interactions["item_id"].cast(pl.String).to_list() == ["7", "8"]
    assert raw.interactions.drop("device").equals(source.load().interactions), "a column that is not there is left out"


def test_a_list_of_values_is_as_long_as_that_of_the_items(tmp_path: Path) -> None:
    table = pl.DataFrame({"user_id": ["a"], "item_id": [["7", "8"]], "device": [["app"]]})
    table.write_parquet(tmp_path / "lists.parquet")
    with pytest.raises(DataError, match="column device: expected a value for each item, got 1 for 2 items"):
        SequenceFile(interactions=tmp_path / "lists.parquet").load_with(["device"])


def test_a_training_batch_knows_of_each_target_what_may_be_asked_for() -> None:
    dataset = shop_with_columns()
    plan = BatchPlan(dataset.train, max_history_len=5, batch_states=100, epochs=1, request=dataset.schema.request, weights=None)
    (only,) = plan.batches()
    batch, rows = only.batch, only.batch.history[:, 0].argsort()
    assert batch.request["event_type"][rows].tolist() == [[2, 2, 1], [2, 1, 0]]  # of the targets
    assert batch.columns["event_type"][rows].tolist() == [[2, 2], [2, 1]]  # of the history


def test_targets_can_be_restricted_and_weighted() -> None:
    dataset = shop_with_columns()
    weights = target_weights(dataset, ["buy"], None)
    assert weights is not None
    assert weights.tolist() == [0, 0, 1, 0, 1, 0]
    plan = BatchPlan(dataset.train, max_history_len=5, batch_states=100, epochs=2, weights=weights)
    assert plan.num_targets == 2
    assert [only.batch.num_targets for only in plan.batches()] == [2, 2]
    weighted = target_weights(dataset, None, {"view": 0.5, "buy": 2.0})
    assert weighted is not None
    assert (weighted / weighted[2]).tolist() == pytest.approx([0.25, 0.25, 1, 0.25, 1, 0.5])  # an unknown kind counts 1
    assert weighted.mean() == pytest.approx(1)
    by_rating = target_weights(dataset, None, "rating")
    assert by_rating is not None
    assert (by_rating / by_rating[0]).tolist() == pytest.approx([1, 1, 2, 1, 4, 1])  # unrated events count 1
    valued = target_weights(dataset, {"rating": 4}, None)
    assert valued is not None
    assert valued.tolist() == [0, 0, 0, 0, 1, 0], "a rating of exactly 4 is valued, an unrated event is not"
    bought_and_liked = target_weights(dataset, {"rating": 2}, {"buy": 3.0, "view": 0.0})
    assert bought_and_liked is not None
    assert bought_and_liked.tolist() == [0, 0, 1, 0, 1, 0]
    refused = ((["rent"], None), ({"event_type": 1}, None), ({"rating": 99}, None), ({}, None), ([], None))
    for targets, weight in (*refused, (None, "event_type"), (None, {"view": -1.0})):
        with pytest.raises(ConfigError, match=r"train\.(targets|weight)"):
            target_weights(dataset, targets, weight)


def test_rows_without_a_target_are_left_out() -> None:
    dataset = shop_with_columns()
    weights = np.array([0, 0, 1, 0, 0, 0], np.float32)
    (only,) = BatchPlan(dataset.train, max_history_len=5, batch_states=100, epochs=1, weights=weights).batches()
    assert only.batch.targets is not None
    assert only.batch.targets.tolist() == [[-1, -1, 2]]
    assert only.batch.target_weights is None, "targets that are restricted need no weights"


def test_a_training_batch_has_what_a_loss_reads_of_the_targets() -> None:
    dataset = shop_with_columns()
    plan = BatchPlan(dataset.train, max_history_len=5, batch_states=100, epochs=1, target_columns=("event_type",))
    (only,) = plan.batches()
    rows = only.batch.history[:, 0].argsort()
    assert only.batch.target_columns["event_type"][rows].tolist() == [[2, 2, 1], [2, 1, 0]]
    assert only.batch.at_states(torch.tensor([0]), torch.tensor([1])).target_columns == {}
    assert dataset.code_counts["event_type"].tolist() == [1, 2, 3]
