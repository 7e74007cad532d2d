from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genrec.core.dataset import Dataset, Sequences
from genrec.core.event_schema import EventSchema, category
from genrec.evaluation.evaluation_spec import weighted_targets
from genrec.evaluation.measure import accuracy
from genrec.evaluation.slices import DAY, Slice, measure_slices, popularity_bands, slices

HISTORIES = [["a"] * 6 + ["b"], ["a", "a", "b", "c"], ["b", "d", "a"], []]
TARGETS = [["c"], ["x", "a"], ["b"], ["a"]]


@pytest.fixture
def shop():
    ids = ["a", "b", "c", "d", "x"]
    rows = [history + held_out for history, held_out in zip(HISTORIES, TARGETS, strict=True)]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    ends = offsets[:-1] + [len(history) for history in HISTORIES]
    times = np.concatenate([np.arange(len(row)) * 10 * DAY for row in rows])
    return Dataset(
        items=pl.DataFrame(
            {
                "item_id": ids,
                "category": ["Root > P", "Root > P", "Root > Q", None, "Root > Q"],
                "brand": ["one", "one", "two", None, "three"],
                "price": [1.0, 2.0, 3.0, 4.0, None],
            }
        ),
        users=pl.DataFrame({"user_id": ["u0", "u1", "u2", "u3"]}),
        events=Sequences(np.array([ids.index(item) for row in rows for item in row], dtype=np.int32), offsets),
        train_ends=ends,
        validation_ends=ends,
        timestamps=times,
    )


@pytest.fixture
def pairs():
    rows = [(f"u{u}", item) for u, items in enumerate(TARGETS) for item in items]
    return pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")


def test_every_target_is_labelled(shop, pairs):
    found = {s.name: s.labels.to_list() for s in slices(shop, "test", pairs, category="category", columns=["brand", "price"])}
    # 14 training events: a has 9, so b (3) begins after 9/14, in the second third, and c, d (1) after 12/14
    assert found["item popularity"] == ["tail", "cold", "head", "mid", "head"]
    assert found["history length"] == ["5 to 9", "1 to 4", "1 to 4", "1 to 4", "no history"]
    assert found["time since the last event"] == [*["7 to 30 days"] * 4, None]
    assert found["category"] == ["Q", "Q", "P", "P", "P"]
    assert found["brand"] == ["two", "three", "one", "one", "one"]
    assert found["price"] == ["2.5 to 3.25", "(none)", "below 1.75", "1.75 to 2.5", "below 1.75"]


def test_kinds_of_the_target_events(shop, pairs):
    """What a column says of each target's own event, not of what came before; exact recall and ndcg of each kind."""
    kinds = [[*["view"] * 6, "buy", "buy"], [*["view"] * 4, "view", "buy"], [*["buy"] * 3, None], ["cart"]]
    column = category("kind", ["view", "buy"])  # cart is in no training event
    codes = np.concatenate([column.encode(row) for row in kinds])
    shop = replace(shop, events=replace(shop.events, columns={"kind": codes}), schema=EventSchema(columns=(column,)))
    (kind,) = [division for division in slices(shop, "test", pairs, category=None) if division.name == "kind of the target"]
    assert kind.labels.to_list() == ["buy", "view", "buy", "(none)", "(none)"]
    assert [name for name, _ in kind] == ["view", "buy", "(none)"], "by training events"
    hits = pl.DataFrame(
        {"user_id": ["u0", "u1"], "item_id": ["c", "x"], "rank": [1, 3], "tie_start": [1, 3], "tie_size": [1, 1]}
    )
    found = {row["name"]: row for row in measure_slices([kind], pairs, {"model": hits}, k=3, draws=10, seed=0)}
    assert {name: (row["targets"], row["users"]) for name, row in found.items()} == {
        "view": (1, 1),
        "buy": (2, 2),
        "(none)": (2, 2),
    }
    assert found["view"]["rows"]["model"] == {"recall@3": 1.0, "ndcg@3": pytest.approx(0.5)}
    assert found["buy"]["rows"]["model"] == {"recall@3": 0.5, "ndcg@3": pytest.approx(0.5)}
    assert found["(none)"]["rows"]["model"] == {"recall@3": 0.0, "ndcg@3": 0.0}


def test_thirds_of_the_events():
    counts = np.array([50, 1, 0, 30, 10, 10, 1])
    assert popularity_bands(counts).tolist() == [0, 2, 3, 1, 2, 2, 2]
    assert popularity_bands(np.zeros(3, int)).tolist() == [3, 3, 3]


def test_small_labels_are_put_together(shop, pairs, monkeypatch):
    monkeypatch.setattr("genrec.evaluation.slices.LARGEST", 1)
    *_, brand = slices(shop, "test", pairs, category=None, columns=["brand"])
    assert {name: inside.sum() for name, inside in brand} == {"one": 3, "other": 2}


def test_a_slice_counts_its_own_targets_only(pairs):
    table = pl.DataFrame(
        {"user_id": ["u0", "u1", "u1", "u2"], "item_id": ["c", "a", "x", "z"], "rank": [1, 1, 2, 1], "tie_start": [1, 1, 2, 1]}
    ).with_columns(tie_size=pl.lit(1))
    division = Slice("letters", pl.Series(["c", "x", None, "b", "x"]), ("x", "c", "missing"))
    found = measure_slices([division], pairs, {"model": table}, k=10, draws=50, seed=0)
    assert [(entry["name"], entry["targets"], entry["users"], entry["share"]) for entry in found] == [
        ("x", 2, 2, 0.4),
        ("c", 1, 1, 0.2),
    ]
    assert found[0]["rows"]["model"] == pytest.approx({"recall@10": 0.5, "ndcg@10": 0.5 / np.log2(3)})
    low, high = found[0]["intervals"]["model"]["recall@10"]
    assert low == 0 <= 0.5 <= high == 1


def test_all_targets_in_one_slice_give_the_whole(pairs):
    table = pairs.with_columns(rank=pl.int_range(1, 6), tie_start=pl.int_range(1, 6), tie_size=pl.lit(1))
    division = Slice("all", pl.repeat("all", pairs.height, eager=True), ("all",))
    [entry] = measure_slices([division], pairs, {"model": table}, k=3, draws=10, seed=0)
    whole = accuracy(table, pairs, [3])
    assert entry["rows"]["model"]["ndcg@3"] == whole["ndcg@3"].mean()


def test_an_item_held_out_twice_counts_once_with_its_largest_weight():
    events = pl.DataFrame({"user_id": list("aabb"), "item_id": list("xxyz"), "weight": [1.0, 4.0, 0.0, 2.0]})
    assert weighted_targets(events, "weight").rows() == [("a", "x", 4.0), ("b", "z", 2.0)]
