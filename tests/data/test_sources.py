"""Tables and sequences read the same data from every format they know."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from genrec.data.lib.canonical import canonicalize
from genrec.data.lib.files import read_table, text_lines
from genrec.data.sequences import SequenceFile
from genrec.data.tables import Tables
from genrec.errors import DataError

ROWS = [("007", "b1", 3.0), ("007", "b2", 4.5), ("x", "b1", 5.0)]


def write_table(path: Path) -> Path:
    if path.name.endswith(".parquet"):
        pl.DataFrame(ROWS, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(path)
        return path
    if ".jsonl" in path.name:
        text = "".join(json.dumps(dict(zip(("user_id", "item_id", "timestamp"), row, strict=True))) + "\n" for row in ROWS)
    else:
        separator = "\t" if ".tsv" in path.name else ","
        text = "".join(separator.join(map(str, row)) + "\n" for row in [("user_id", "item_id", "timestamp"), *ROWS])
    path.write_bytes(gzip.compress(text.encode()) if path.name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz"])
def test_every_table_format_reads_the_same(suffix, tmp_path):
    raw = canonicalize(Tables(interactions=write_table(tmp_path / f"t{suffix}")).load())
    assert raw.interactions.select("user_id", "item_id", "timestamp").rows() == ROWS
    assert raw.items is None


def test_columns_are_mapped_and_the_rest_of_the_items_is_kept(tmp_path):
    (tmp_path / "x.csv").write_text(
        "who,what,when,kind,stars,w,noise\na,01,2014-01-31,view,4,0.5,?\nb,02,2014-02-01,buy,,1,?\n", encoding="utf-8"
    )
    (tmp_path / "i.csv").write_text('title,asin,price\n"One, two",01,3.5\nTwo,02,\n', encoding="utf-8")
    source = Tables(
        interactions=tmp_path / "x.csv",
        items=tmp_path / "i.csv",
        user_id="who",
        item_id="what",
        items_key="asin",
        timestamp="when",
        event_type="kind",
        rating="stars",
        weight="w",
    )
    raw = canonicalize(source.load())
    assert raw.interactions.drop("row").to_dicts() == [
        {"user_id": "a", "item_id": "01", "timestamp": 1391126400.0, "rating": 4.0, "weight": 0.5, "event_type": "view"},
        {"user_id": "b", "item_id": "02", "timestamp": 1391212800.0, "rating": None, "weight": 1.0, "event_type": "buy"},
    ]
    assert raw.items is not None
    assert raw.items.rows(named=True) == [
        {"item_id": "01", "title": "One, two", "price": 3.5},
        {"item_id": "02", "title": "Two", "price": None},
    ]


@pytest.mark.parametrize(
    "times",
    [
        ["1970-01-01 00:00:01", "1970-01-01 00:00:02"],
        ["1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z"],
        ["1", " 2 "],
        [1, 2],
        [1.0, 2.0],
        pl.Series([1_000, 2_000]).cast(pl.Datetime("ms")),
        pl.Series([1_000_000_000, 2_000_000_000]).cast(pl.Datetime("ns", "UTC")),
    ],
    ids=["text", "utc", "text numbers", "integers", "floats", "datetime", "datetime utc"],
)
def test_times_become_seconds(times, tmp_path):
    pl.DataFrame({"user_id": ["a", "b"], "item_id": [1, 2], "timestamp": times}).write_parquet(tmp_path / "x.parquet")
    assert canonicalize(Tables(interactions=tmp_path / "x.parquet").load()).interactions["timestamp"].to_list() == [1.0, 2.0]


def test_large_text_is_read_in_pieces_of_whole_lines(tmp_path, monkeypatch):
    rows = [{"user_id": f"u{i}", "item_id": "é" * (i % 7)} for i in range(200)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr("genrec.data.lib.text_lines.CHUNK_BYTES", 50)
    assert read_table(tmp_path / "x.jsonl", columns=["user_id", "item_id"]).to_dicts() == rows
    pieces = list(text_lines(tmp_path / "x.jsonl"))
    assert len(pieces) > 50
    assert [json.loads(line) for _, lines in pieces for line in lines] == rows
    assert [first for first, _ in pieces] == [1 + sum(len(lines) for _, lines in pieces[:i]) for i in range(len(pieces))]
    with (tmp_path / "x.jsonl").open("a", encoding="utf-8") as file:
        file.write("nothing\n")
    with pytest.raises(DataError, match=r"line 201: expected a json object, got 'nothing'"):
        read_table(tmp_path / "x.jsonl", columns=["user_id"])


@pytest.mark.parametrize("zipped", [False, True])
def test_sequences(zipped, tmp_path):
    text = b"1 1 2 3 4\r\n\n2 4 4  5 \n3 1"
    path = tmp_path / ("s.txt.gz" if zipped else "s.txt")
    path.write_bytes(gzip.compress(text) if zipped else text)
    (tmp_path / "i.jsonl").write_text(
        "".join(json.dumps({"s3rec_item": i, "title": f"t{i}"}) + "\n" for i in range(1, 7)), encoding="utf-8"
    )
    raw = canonicalize(SequenceFile(interactions=path, items=tmp_path / "i.jsonl", items_key="s3rec_item").load())
    got = raw.interactions.group_by("user_id", maintain_order=True).agg("item_id", "position").rows()
    assert got == [("1", ["1", "2", "3", "4"], [0, 1, 2, 3]), ("2", ["4", "4", "5"], [0, 1, 2]), ("3", ["1"], [0])]
    assert raw.items is not None
    assert raw.items["item_id"].to_list() == list("123456")
