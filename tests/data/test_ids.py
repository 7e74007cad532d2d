"""Ids: the same through every reader, marks of missing values are missing, and what is no id is refused."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from genrec.data.lib.canonical import canonicalize
from genrec.data.lib.ids import text_ids
from genrec.data.tables import Tables
from genrec.errors import DataError

SAME: dict[str, tuple[list[Any], list[str]]] = {
    "integers": ([12, 7], ["12", "7"]),
    "floats": ([12.0, 7.0], ["12", "7"]),
    "large floats": ([1e15, 2.0], ["1000000000000000", "2"]),
    "text": (["A1", "007"], ["A1", "007"]),
    "beyond 64 bits": (["123456789012345678901234567890", "1"], ["123456789012345678901234567890", "1"]),
    "unicode": (["café", "商品1"], ["café", "商品1"]),
    "blanks around": ([" a ", "b\u00a0"], ["a", "b"]),
    "braces": (["{3F2504E0-4F89}", "[PAD]"], ["{3F2504E0-4F89}", "[PAD]"]),
    "punctuation": (["a,b", "c|d"], ["a,b", "c|d"]),
    "words": (["true", "yes"], ["true", "yes"]),
    "parentheses": (["(not set)", "(a)"], ["(not set)", "(a)"]),
    "marks around one id": (['"a"', "b"], ['"a"', "b"]),
}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(("values", "ids"), SAME.values(), ids=SAME)
def test_every_reader_gives_the_same_ids(values, ids, kind, tmp_path):
    table = pl.DataFrame({"user_id": ["u", "v"], "item_id": values})
    path, items = tmp_path / f"x.{kind}", tmp_path / f"i.{kind}"
    for file, frame in ((path, table), (items, table.select("item_id", title="user_id"))):
        if kind == "csv":
            frame.write_csv(file)
        elif kind == "jsonl":
            file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in frame.to_dicts()), encoding="utf-8")
        else:
            frame.write_parquet(file)
    raw = canonicalize(Tables(interactions=path, items=items).load())
    assert raw.interactions["item_id"].to_list() == ids
    assert raw.items is not None
    assert raw.items["item_id"].to_list() == ids


MARKS = ["NA", "N/A", "NULL", "null", "nan", "NaN", "None", "\\N", "<NA>", "", "  "]


@pytest.mark.parametrize("column", ["user_id", "item_id", "timestamp"])
@pytest.mark.parametrize("mark", MARKS)
def test_marks_of_missing_values_are_missing(mark, column, prepare, csv):
    row = {"user_id": "u0", "item_id": "i0", "timestamp": "9"} | {column: mark}
    rows = [f"u{u},i{i},{i}" for u in range(3) for i in range(4)]
    path = csv("user_id,item_id,timestamp", *rows, ",".join(row.values()))
    with pytest.raises(DataError, match=rf"row 13, column {column}.*None \(1 such rows\).*filters.missing=drop"):
        prepare({"interactions": path})
    prepared = prepare({"interactions": path}, filters={"missing": "drop"})
    assert prepared.dataset.facts["num_interactions"] == 12
    assert "missing=drop: removed 1 interactions" in prepared.said


def test_an_id_may_be_called_so_where_the_user_says_so(prepare, csv):
    path = csv("user_id,item_id", *(f"{user},{item}" for user in ("NA", "null") for item in ("a", "b", "NaN")))
    assert list(prepare({"interactions": path, "missing_values": []}).dataset.user_ids) == ["NA", "null"]
    path = csv("user_id,item_id", "a,x", "a,y", "a,z", "-,x")
    assert list(prepare({"interactions": path, "missing_values": ["-"]}, filters={"missing": "drop"}).dataset.user_ids) == ["a"]


RULES = [
    ("verbatim", ["12.0", "007", "[1, 2]"], ["12.0", "007", "[1, 2]"]),
    ("numbers", ["007", "-07", "0", "a07"], ["7", "-7", "0", "a07"]),
    ("lower_case", ["A1 ", "É"], ["a1", "é"]),
    ("clean", ["007 ", "3.0"], ["007", "3"]),
]


@pytest.mark.parametrize(("rule", "values", "ids"), RULES)
def test_rules(rule, values, ids):
    assert text_ids(pl.Series("item_id", values), "x", ids=rule).to_list() == ids


REFUSED: dict[str, tuple[pl.Series, str]] = {
    "json lists": (pl.Series(['["a", "b"]', "c"]), "row 1.*a list"),
    "lists of words": (pl.Series(["a", "[b, c]"]), "row 2.*a list"),
    "an array printed": (pl.Series(["[1 2 3]"]), "a list"),
    "a tuple": (pl.Series(["(1, 2)"]), "a list"),
    "an empty list": (pl.Series(["[]"]), "a list"),
    "a list of one": (pl.Series(["['a']"]), "a list"),
    "an object": (pl.Series(['{"id": 3}']), "an object"),
    "marks around every id": (pl.Series(['"a"', '"b"']), "row 1.*quotation marks off"),
    "single marks around every id": (pl.Series(["'7'"]), "quotation marks"),
    "bytes that are no text": (pl.Series([b"a", None, b"\xff1"]), r"row 3.*UTF-8.*xff1"),
    "list columns": (pl.Series([[1], [2]]), "List"),
    "struct columns": (pl.Series([{"id": 1}]), "Struct"),
    "truth values": (pl.Series([True, False]), "Boolean"),
    "dates": (pl.Series(["2020-01-01"]).str.to_date(), "Date"),
    "fractions": (pl.Series([1.0, 2.5]), "row 2.*2.5"),
    "infinity": (pl.Series([1.0, float("inf")]), "inf"),
    "fractions as text": (pl.Series(["1.0", "2.5"]), "row 2.*'2.5'"),
    "of a spreadsheet": (pl.Series(["1.23E+11", "5"]), "row 1.*'1.23E.11'"),
    "a zero byte": (pl.Series(["a\x00"]), r"a.x00"),
    "two lines": (pl.Series(["a\nb"]), r"a.nb"),
    "missing": (pl.Series(["a", None]), "row 2.*None"),
    "not a number": (pl.Series([1.0, float("nan")]), "row 2.*nan"),
    "nothing at all": (pl.Series([None, None]), "row 1.*None"),
}


@pytest.mark.parametrize(("column", "told"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_id_is_refused(column, told):
    with pytest.raises(DataError, match=told):
        text_ids(column.alias("item_id"), "x.csv")


def test_an_empty_column_has_no_ids():
    for dtype in (pl.String, pl.Int64, pl.Float64, pl.Null):
        assert text_ids(pl.Series("item_id", [], dtype=dtype), "x").to_list() == []
