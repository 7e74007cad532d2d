"""Every bad input is one DataError that names the file, the row or column, and the value."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrec.errors import ConfigError, DataError

GOOD = "user_id,item_id,timestamp\n" + "".join(f"u{user},i{item},{item}\n" for user in range(3) for item in range(4))
ITEMS = "item_id,title\ni0,zero\ni1,one\ni2,two\ni3,three\n"
SEQUENCES = "genrec.data.sequences.SequenceFile"


def parquet(**columns: Any) -> Callable[[Path], None]:
    return lambda path: pl.DataFrame(columns).write_parquet(path)


# name of the case, files (name -> text, bytes or writer; the first holds the interactions), settings of the source, what the
# message must contain
CASES: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("missing file", {}, {"interactions": "nowhere.csv"}, ["nowhere.csv", "nothing there"]),
    ("folder of nothing", {"x.csv/_SUCCESS": "?"}, {"interactions": "x.csv"}, ["x.csv", "an empty folder"]),
    ("empty file", {"x.csv": ""}, {}, ["x.csv", "0 bytes"]),
    ("header only", {"x.csv": "user_id,item_id\n"}, {}, ["x.csv", "0 rows"]),
    ("blank json lines", {"x.jsonl": "\n\n"}, {}, ["x.jsonl", "only empty lines"]),
    ("unknown format", {"x.xlsx": "?"}, {}, ["x.xlsx", ".parquet"]),
    ("missing column", {"x.csv": "user,item_id\na,b\n"}, {}, ["x.csv", "'user_id'", "did you mean user?"]),
    ("missing columns", {"x.csv": "a,b\n1,2\n"}, {}, ["x.csv", "'user_id'"]),
    ("named column missing", {"x.csv": GOOD}, {"rating": "stars"}, ["x.csv", "'stars'"]),
    ("item column missing", {"x.csv": GOOD, "i.csv": "asin,title\ni0,a\n"}, {"items": "i.csv"}, ["i.csv", "'item_id'", "asin"]),
    (
        "two item columns",
        {"x.csv": GOOD, "i.csv": "asin,item_id\ni0,a\n"},
        {"items": "i.csv", "items_key": "asin"},
        ["i.csv", "'asin' and 'item_id'"],
    ),
    ("nan time", {"x.csv": GOOD + "u1,i1,nan\n"}, {}, ["x.csv", "row 13", "timestamp", "None"]),
    (
        "infinite time",
        {"x.parquet": parquet(user_id=["a"], item_id=["b"], timestamp=[float("inf")])},
        {},
        ["x.parquet", "row 1", "timestamp", "inf"],
    ),
    ("missing time", {"x.csv": GOOD + "u1,i1,\n"}, {}, ["x.csv", "row 13", "timestamp", "None"]),
    ("mixed types", {"x.csv": GOOD + "u1,i1,yesterday\n"}, {}, ["x.csv", "row 13", "timestamp", "'yesterday'"]),
    ("mixed times", {"x.csv": GOOD + "u1,i1,2014-01-31\n"}, {}, ["x.csv", "row 13", "'2014-01-31'"]),
    ("dates and else", {"x.csv": "user_id,item_id,timestamp\na,b,2014-01-31\na,b,31st\n"}, {}, ["row 2", "'31st'"]),
    ("no date at all", {"x.csv": "user_id,item_id,timestamp\na,b,noon\n"}, {}, ["row 1", "'noon'"]),
    (
        "mixed json",
        {"x.jsonl": '{"user_id": 1, "item_id": 2, "timestamp": 3}\n{"user_id": 1, "item_id": 2, "timestamp": "x"}\n'},
        {},
        ["x.jsonl", "row 2", "timestamp", "'x'"],
    ),
    ("broken position", {"x.csv": "user_id,item_id,position\na,b,1.5\n"}, {}, ["row 1", "position", "'1.5'"]),
    (
        "float position",
        {"x.parquet": parquet(user_id=["a"], item_id=["b"], position=[0.25])},
        {},
        ["row 1", "position", "0.25"],
    ),
    ("rating", {"x.csv": "user_id,item_id,rating\na,b,5\na,c,good\n"}, {}, ["row 2", "rating", "'good'"]),
    ("no user", {"x.csv": GOOD + ",i1,5\n"}, {}, ["x.csv", "row 13", "user_id", "None"]),
    ("no item", {"x.csv": GOOD + 'u1,"",5\n'}, {}, ["x.csv", "row 13", "item_id", "None"]),
    ("float ids", {"x.parquet": parquet(user_id=[1.5], item_id=["b"])}, {}, ["x.parquet", "user_id", "1.5"]),
    (
        "duplicate item",
        {"x.csv": GOOD, "i.csv": ITEMS + "i2,again\n"},
        {"items": "i.csv"},
        ["i.csv", "row 5", "item_id", "'i2'"],
    ),
    ("item without id", {"x.csv": GOOD, "i.csv": ITEMS + ",none\n"}, {"items": "i.csv"}, ["i.csv", "row 5", "item_id"]),
    (
        "unknown item",
        {"x.csv": GOOD + "u1,i9,5\n", "i.csv": ITEMS},
        {"items": "i.csv"},
        ["x.csv", "row 13", "'i9'", "unknown_items=drop"],
    ),
    ("short user", {"x.csv": GOOD + "u7,i1,5\nu7,i2,6\n"}, {}, ["2 of user 'u7'", "short_users=drop"]),
    ("not utf-8", {"x.csv": GOOD.encode() + b"u\xff,i1,5\n"}, {}, ["x.csv", "line 14", "0xff"]),
    ("json not utf-8", {"x.jsonl": b'{"user_id": "\xe9"}\n'}, {}, ["x.jsonl", "line 1", "0xe9"]),
    ("truncated gzip", {"x.csv.gz": gzip.compress(GOOD.encode())[:-20]}, {}, ["x.csv.gz", "gzip", "after line"]),
    ("no gzip", {"x.jsonl.gz": "{}"}, {}, ["x.jsonl.gz", "gzip"]),
    ("hollow column", {"x.csv": "user_id,item_id,t\na,b,\n"}, {"timestamp": "t"}, ["x.csv", "column t", "None"]),
    ("missing json column", {"x.jsonl": '{"uid": 1, "item_id": 2}\n'}, {}, ["x.jsonl", "'user_id'", "uid"]),
    ("truncated json gzip", {"x.jsonl.gz": gzip.compress(b'{"user_id": 1}\n' * 99)[:-9]}, {}, ["x.jsonl.gz", "gzip"]),
    (
        "broken json",
        {"x.jsonl": '{"user_id": 1, "item_id": 2}\n\n{"user_id": 1,\n'},
        {},
        ["x.jsonl", "line 3", '{"user_id": 1,'],
    ),
    ("json list", {"x.jsonl": "[1, 2]\n"}, {}, ["x.jsonl", "line 1", "[1, 2]"]),
    ("json NaN", {"x.jsonl": '{"user_id": NaN}\n'}, {}, ["x.jsonl", "line 1", "NaN"]),
    (
        "ragged csv",
        {"x.csv": "user_id,item_id\na,b\nc,d,e\n"},
        {},
        ["x.csv, line 3", "2 fields", "3: 'c,d,e'", "in quotation marks"],
    ),
    ("no parquet", {"x.parquet": "hello"}, {}, ["x.parquet"]),
    ("user without items", {"s.txt": "u1 a b c\nu2\n"}, {}, ["s.txt, line 2", "'u2'"]),
    ("user twice", {"s.txt": "u1 a b c\nu2 a b c\nu1 d e f\n"}, {}, ["s.txt, line 3", "'u1'"]),
    ("latin-1 sequences", {"s.txt": b"u1 a b c\nu2 caf\xe9 b c\n"}, {}, ["s.txt, line 2", "0xe9"]),
]


@pytest.mark.parametrize(("files", "settings", "told"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_bad_input(files, settings, told, prepare, tmp_path, monkeypatch):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    monkeypatch.chdir(tmp_path)
    first = next(iter(files), "x.csv")
    source = {"_target_": SEQUENCES} if first.endswith(".txt") else {}
    with pytest.raises(DataError) as caught:
        prepare({"interactions": first} | source | settings)
    message = str(caught.value)
    assert "\n" not in message
    for part in told:
        assert part in message


def test_the_good_files_of_the_table_are_good(prepare, tmp_path):
    (tmp_path / "x.csv").write_text(GOOD, encoding="utf-8")
    (tmp_path / "i.csv").write_text(ITEMS, encoding="utf-8")
    assert prepare({"interactions": str(tmp_path / "x.csv"), "items": str(tmp_path / "i.csv")}).dataset.num_users == 3


# settings that the data cannot follow, what the message must contain
UNFIT: list[tuple[str, dict[str, Any], type[Exception], list[str]]] = [
    ("no rating", {"filters": {"min_rating": 4.0}}, DataError, ["min_rating=4", "timestamp"]),
    ("nothing left", {"filters": {"k_core": 50}}, DataError, ["k_core=50", "none of 12"]),
    ("no position", {"order": {"by": "position"}}, DataError, ["order.by", "'position'", "timestamp only"]),
    ("k_core", {"filters": {"k_core": -1}}, ConfigError, ["filters.k_core", "-1"]),
    (
        "cut outside",
        {"split": {"_target_": "genrec.data.temporal.Temporal", "cuts": "time", "test_from": 99, "validation_from": 2}},
        DataError,
        ["test part", "99", "from 0 to 3"],
    ),
    (
        "cuts swapped",
        {"split": {"_target_": "genrec.data.temporal.Temporal", "validation_from": 0.9, "test_from": 0.2}},
        DataError,
        ["validation part", "cuts at 3 and"],
    ),
    ("share", {"split": {"_target_": "genrec.data.temporal.Temporal", "test_from": 2.0}}, ConfigError, ["test_from", "2.0"]),
    (
        "date",
        {"split": {"_target_": "genrec.data.temporal.Temporal", "cuts": "time", "test_from": "May"}},
        ConfigError,
        ["split.test_from", "May"],
    ),
    (
        "backwards",
        {"split": {"_target_": "genrec.data.temporal.Temporal"}, "order": {"by": "input_order"}},
        DataError,
        ["3 before 2", "order.by=timestamp"],
    ),
]


@pytest.mark.parametrize(("settings", "error", "told"), [case[1:] for case in UNFIT], ids=[case[0] for case in UNFIT])
def test_settings_that_the_data_cannot_follow(settings, error, told, prepare, tmp_path):
    rows = GOOD.splitlines()
    (tmp_path / "x.csv").write_text("\n".join([rows[0], *reversed(rows[1:])]), encoding="utf-8")
    if settings.get("split", {}).get("_target_"):  # the fixture's own split takes no such keys
        settings = {**settings, "split": dict(settings["split"])}
    with pytest.raises(error) as caught:
        prepare({"interactions": str(tmp_path / "x.csv")}, **settings)
    for part in told:
        assert part in str(caught.value)


def test_positions_have_no_times_to_split_by(prepare, csv):
    path = csv("user_id,item_id,position", "a,x,0", "a,y,1", "a,z,2")
    with pytest.raises(DataError, match="without \\(complete\\) times"):
        prepare({"interactions": path}, split={"_target_": "genrec.data.temporal.Temporal"})
