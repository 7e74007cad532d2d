"""The prepare stage end to end, held against slow and obvious oracles."""

from __future__ import annotations

import random
from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest

from genrec.core.dataset import Dataset, Sequences
from genrec.data.lib.events import target_facts

TEMPORAL = "genrec.data.temporal.Temporal"
ALL = "genrec.data.all_training.AllTraining"


def world(seed, users=30, items=15, events=400, times=20):
    rng = random.Random(seed)
    return [
        (f"u{rng.randrange(users)}", f"i{rng.randrange(items)}", rng.randrange(times), rng.randint(1, 5)) for _ in range(events)
    ]


def as_csv(csv, rows):
    return csv("user_id,item_id,timestamp,rating", *(",".join(map(str, row)) for row in rows))


def histories(dataset):
    ids = dataset.item_ids.to_list()
    return {user: [ids[i] for i in dataset.events[u]] for u, user in enumerate(dataset.user_ids)}


def by_user(rows):
    grouped = defaultdict(list)
    for row in rows:
        grouped[row[0]].append(row)
    return grouped


@pytest.mark.parametrize("ties", ["input_order", "item_id", "random"])
@pytest.mark.parametrize("seed", range(3))
def test_order_and_leave_one_out_against_a_plain_loop(seed, ties, prepare, csv):
    rows = world(seed)
    prepared = prepare({"interactions": as_csv(csv, rows)}, order={"ties": ties, "seed": seed}, split={"short_users": "train"})
    dataset, ids = prepared.dataset, prepared.dataset.item_ids.to_list()
    assert dataset.user_ids.to_list() == list(dict.fromkeys(row[0] for row in rows))
    assert ids == list(dict.fromkeys(row[1] for row in rows))
    tied = 0
    for u, (user, own) in enumerate(by_user(rows).items()):
        key = (lambda row: row[2]) if ties != "item_id" else (lambda row: (row[2], row[1]))
        expected = [row[1] for row in sorted(own, key=key)]
        got = histories(dataset)[user]
        span = slice(dataset.events.offsets[u], dataset.events.offsets[u + 1])
        assert dataset.timestamps[span].tolist() == sorted(row[2] for row in own)
        if ties == "random":  # any order inside a tie
            assert Counter(zip(got, dataset.timestamps[span], strict=True)) == Counter((row[1], row[2]) for row in own)
        else:
            assert got == expected
        tied += sum(count for count in Counter(row[2] for row in own).values() if count > 1)
        cut = 2 if len(own) >= 3 else 0
        assert len(dataset.train[u]) == len(own) - cut
        assert [ids[i] for i in dataset.targets("validation")[u]] == (got[-2:-1] if cut else [])
        assert [ids[i] for i in dataset.targets("test")[u]] == (got[-1:] if cut else [])
    assert dataset.facts["order"]["tied_events"] == tied > 0
    assert f"{tied:,} events are in ties" in prepared.said


def test_random_ties_depend_on_their_seed_only(prepare, csv):
    path = as_csv(csv, world(1, times=2))
    one, again, other = (
        histories(prepare({"interactions": path}, order={"ties": "random", "seed": s}).dataset) for s in (1, 1, 2)
    )
    assert one == again != other


def test_times_order_unless_some_are_missing_or_the_user_says_otherwise(prepare, csv):
    path = csv("user_id,item_id,timestamp,position", "u,a,3,1", "u,b,2,2", "u,c,1,3", "u,d,,4")
    prepared = prepare({"interactions": path})
    assert histories(prepared.dataset) == {"u": list("abcd")}
    assert prepared.dataset.timestamps is None
    assert "1 of 4 are missing" in prepared.said
    assert "order: by position" in prepared.said
    path = csv("user_id,item_id,timestamp,position", "u,a,3,1", "u,b,2,2", "u,c,1,3")
    prepared = prepare({"interactions": path})
    assert histories(prepared.dataset) == {"u": list("cba")}
    assert "there is a position too" in prepared.said
    assert histories(prepare({"interactions": path}, order={"by": "position"}).dataset) == {"u": list("abc")}
    tied = csv("user_id,item_id,timestamp,position", "u,b,1,2", "u,a,1,1", "u,c,2,0")
    assert histories(prepare({"interactions": tied}).dataset) == {"u": list("abc")}
    assert histories(prepare({"interactions": path}, order={"by": "timestamp"}).dataset) == {"u": list("cba")}
    assert histories(prepare({"interactions": path}, order={"by": "input_order"}).dataset) == {"u": list("abc")}
    plain = prepare({"interactions": csv("user_id,item_id", "u,b", "u,a", "u,c")})
    assert histories(plain.dataset) == {"u": list("bac")}
    assert plain.dataset.facts["order"] == {"by": "input_order", "ties": "input_order", "tied_events": 0}


def slow_core(rows, k):
    while True:
        users, items = Counter(row[0] for row in rows), Counter(row[1] for row in rows)
        kept = [row for row in rows if users[row[0]] >= k and items[row[1]] >= k]
        if len(kept) == len(rows):
            return kept
        rows = kept


@pytest.mark.parametrize("seed", range(4))
def test_filters_against_plain_loops(seed, prepare, csv):
    rows = world(seed, users=80, items=40, events=650)
    catalogue = csv("item_id,title", *(f"i{i},title {i}" for i in reversed(range(50))))
    filters = {"min_rating": 2, "repeats": "first", "k_core": 4}
    prepared = prepare({"interactions": as_csv(csv, rows), "items": catalogue}, filters=filters)
    rated = [row for row in rows if row[3] >= 2]
    firsts = []
    for own in by_user(rated).values():
        own.sort(key=lambda row: row[2])
        seen = set()
        firsts += [row for row in own if row[1] not in seen and not seen.add(row[1])]
    core = slow_core(firsts, 4)
    assert 0 < len(core) < len(firsts) < len(rated) < len(rows)
    assert histories(prepared.dataset) == {user: [row[1] for row in own] for user, own in by_user(core).items()}
    kept = {row[1] for row in core}
    assert prepared.dataset.item_ids.to_list() == [f"i{i}" for i in reversed(range(50)) if f"i{i}" in kept]
    removed = prepared.dataset.facts["removed"]
    assert [entry["by"] for entry in removed] == ["min_rating=2", "repeats=first", "k_core=4 (on all events)"]
    assert [entry["interactions"] for entry in removed] == [
        len(rows) - len(rated), len(rated) - len(firsts), len(firsts) - len(core)
    ]  # fmt: skip
    assert removed[2]["items"] == 50 - len(kept)
    assert removed[2]["users"] == len({row[0] for row in firsts}) - len({row[0] for row in core})
    for entry in removed:
        assert f"{entry['by']}: removed {entry['interactions']:,} interactions" in prepared.said


def test_runs_of_an_item_collapse(prepare, csv):
    path = csv("user_id,item_id", *(f"u,{item}" for item in "aabbbaac"), *(f"v,{item}" for item in "cxya"))
    assert histories(prepare({"interactions": path}, filters={"repeats": "collapse"}).dataset) == {
        "u": list("abac"),
        "v": list("cxya"),
    }


def test_cold_items_stay_and_unknown_items_are_dropped_on_request(prepare, csv):
    path = csv("user_id,item_id", "u,a", "u,b", "u,zz", "u,c", "v,zz", "w,zy", "w,a", "w,a", "w,a")
    items = csv("item_id,title", "cold,C", "c,c", "b,b", "a,a")
    prepared = prepare({"interactions": path, "items": items}, filters={"unknown_items": "drop"})
    assert prepared.dataset.item_ids.to_list() == ["cold", "c", "b", "a"]
    assert histories(prepared.dataset) == {"u": ["a", "b", "c"], "w": ["a", "a", "a"]}
    assert prepared.dataset.facts["removed"] == [{"by": "unknown_items=drop", "interactions": 3, "users": 1, "items": 2}]
    assert "unknown_items=drop: removed 3 interactions, 1 users, 2 items" in prepared.said
    assert prepared.dataset.facts["cold_items"] == 3
    cored = prepare({"interactions": path, "items": items}, filters={"unknown_items": "drop", "k_core": 1})
    assert cored.dataset.item_ids.to_list() == ["c", "b", "a"]


def test_short_users_leave_or_only_train(prepare, csv):
    path = csv("user_id,item_id", "s,only", "u,a", "u,b", "u,c", "t,a", "t,b")
    dropped = prepare({"interactions": path}, split={"short_users": "drop"})
    assert histories(dropped.dataset) == {"u": ["a", "b", "c"]}
    assert dropped.dataset.item_ids.to_list() == ["a", "b", "c"]
    assert "split (users with too few events): removed 3 interactions, 2 users, 1 items" in dropped.said
    kept = prepare({"interactions": path}, split={"short_users": "train"})
    assert [len(kept.dataset.train[u]) for u in range(3)] == [1, 1, 2]
    assert kept.dataset.facts["split"]["users_without_targets"] == 2


@pytest.mark.parametrize("seed", range(3))
def test_temporal_split_against_a_plain_loop(seed, prepare, csv):
    rows = [(*row[:2], row[2] + (20 if row[0] in ("u1", "u2") else 0), row[3]) for row in world(seed, times=40)]
    split = {"_target_": TEMPORAL, "cuts": "time", "validation_from": 20, "test_from": 30}
    dataset = prepare({"interactions": as_csv(csv, rows)}, split=split).dataset
    ids = dataset.item_ids.to_list()
    for u, (_, own) in enumerate(by_user(rows).items()):
        own = sorted(own, key=lambda row: row[2])
        assert [ids[i] for i in dataset.train[u]] == [row[1] for row in own if row[2] < 20]
        assert [ids[i] for i in dataset.targets("validation")[u]] == [row[1] for row in own if 20 <= row[2] < 30]
        assert [ids[i] for i in dataset.targets("test")[u]] == [row[1] for row in own if row[2] >= 30]
    first_time = {user: min(row[2] for row in own) for user, own in by_user(rows).items()}
    facts = dataset.facts["split"]
    assert facts["users_new_in_validation"] == sum(20 <= time < 30 for time in first_time.values()) >= 1
    assert facts["users_new_in_test"] == sum(time >= 30 for time in first_time.values())


def test_temporal_cuts_as_shares_and_as_dates(prepare, csv):
    path = csv("user_id,item_id,timestamp", *(f"u{i % 3},i{i},2020-01-{i + 1:02}" for i in range(20)))
    shares = prepare({"interactions": path}, split={"_target_": TEMPORAL, "validation_from": 0.5, "test_from": 0.75}).dataset
    split = {"_target_": TEMPORAL, "cuts": "time", "validation_from": "2020-01-11", "test_from": "2020-01-16T00:00:00+00:00"}
    dates = prepare({"interactions": path}, split=split).dataset
    for dataset in (shares, dates):
        assert dataset.train.offsets[-1] == 10
        assert [len(dataset.targets(name).item_idx) for name in ("validation", "test")] == [5, 5]


def test_all_is_training(prepare, csv):
    prepared = prepare({"interactions": as_csv(csv, world(5))}, split={"_target_": ALL})
    assert len(prepared.dataset.train.item_idx) == 400
    assert prepared.dataset.facts["targets"]["test"]["targets"] == 0


def test_the_interactions_table_repeats_the_histories_with_their_part(prepare, csv):
    header = "user_id,item_id,timestamp,event_type,weight"
    rows = [f"u{i % 7},i{i % 5},{100 - i},{'buy' if i % 2 else 'view'},{i / 4}" for i in range(60)]
    prepared = prepare({"interactions": csv(header, *rows)}, split={"short_users": "train"})
    table, dataset = prepared.interactions, prepared.dataset
    assert table.columns == ["user_id", "item_id", "item_idx", "timestamp", "event_type", "weight", "part"]
    assert table["item_idx"].to_list() == dataset.events.item_idx.tolist()
    assert table["item_id"].to_list() == dataset.item_ids.gather(table["item_idx"]).to_list()
    assert table["user_id"].to_list() == dataset.user_ids.gather(pl.Series(dataset.events.user_idx)).to_list()
    for row in table.iter_rows(named=True):  # event type and weight stay with their event
        i = 100 - int(row["timestamp"])
        assert (row["user_id"], row["item_id"], row["weight"]) == (f"u{i % 7}", f"i{i % 5}", i / 4)
        assert row["event_type"] == ("buy" if i % 2 else "view")
    for part, sequences in (
        ("train", dataset.train),
        ("validation", dataset.targets("validation")),
        ("test", dataset.targets("test")),
    ):
        assert table.filter(pl.col("part") == part)["item_idx"].to_list() == sequences.item_idx.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_target_facts_against_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 9, 20)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    train = offsets[:-1] + rng.integers(0, lengths + 1)
    validation = train + rng.integers(0, offsets[1:] - train + 1)
    item_idx = rng.integers(0, 8, offsets[-1]).astype(np.int32)
    items = pl.DataFrame({"item_id": [str(i) for i in range(9)]})
    users = pl.DataFrame({"user_id": [str(u) for u in range(20)]})
    dataset = Dataset(items, users, Sequences(item_idx, offsets), train, validation)
    facts = target_facts(dataset)
    known = set(dataset.train.item_idx.tolist())
    for split in ("validation", "test"):
        pairs = [(u, item) for u in range(20) for item in dataset.targets(split)[u]]
        repeats = sum(item in dataset.histories(split)[u] for u, item in pairs)
        assert facts[split] == {
            "targets": len(pairs),
            "users": len({u for u, _ in pairs}),
            "repeats": repeats,
            "repeat_rate": repeats / len(pairs),
            "unseen_items": sum(item not in known for _, item in pairs),
        }


def test_source_notes_and_extra_files_reach_the_dataset(prepare, csv, monkeypatch):
    from genrec.data.tables import Tables

    load = Tables.load

    def with_extras(self):
        raw = load(self)
        raw.notes.append(("lines skipped", 3))
        return type(raw)(
            raw.interactions, raw.items, raw.notes, {"world.txt": lambda path: path.write_text("parameters", encoding="utf-8")}
        )

    monkeypatch.setattr(Tables, "load", with_extras)
    prepared = prepare({"interactions": csv("user_id,item_id", "u,a", "u,b", "u,c")})
    assert "lines skipped: 3" in prepared.said
    assert prepared.dataset.facts["notes"] == [{"what": "lines skipped", "count": 3}]
    assert prepared.dataset.folder is not None
    assert (prepared.dataset.folder / "world.txt").read_text(encoding="utf-8") == "parameters"
