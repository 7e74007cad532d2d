"""Messages of the readers, of ids, times and policies, and of `genrec init`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import polars as pl

from error_cases import Case, Scene
from genrec.commands import init
from genrec.data.filters import Filters
from genrec.data.lib.canonical import canonicalize
from genrec.data.lib.delimited import _Reading
from genrec.data.lib.files import read_table
from genrec.data.lib.text_lines import TextFormat, text_lines
from genrec.data.order import Order
from genrec.data.tables import Tables
from genrec.engine.options import OptionFiles, apply_settings
from genrec.errors import ConfigError, DataError
from genrec.protocols import RawData

Trigger = Callable[[Scene], Any]
ROWS = "user_id,item_id,timestamp\n" + "".join(f"u{i // 4},i{i % 5},{i}\n" for i in range(12))


def file(content: str | bytes, name: str = "x.csv", **settings: Any) -> Trigger:
    """Reads a file as data=tables does."""

    def trigger(scene: Scene) -> Any:
        path = scene.path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return canonicalize(Tables(interactions=path, **settings).load())

    return trigger


def column(items: Any = None, **columns: Any) -> Trigger:
    """Judges a table with these columns."""
    rows = {"user_id": ["ann", "bob"], "item_id": ["a", "b"]} | columns
    table = pl.DataFrame(rows, strict=False)
    return lambda scene: canonicalize(RawData(interactions=table, items=None if items is None else pl.DataFrame(items)))


def filtered(items: Any = None, order: str = "auto", policies: Any = None, **columns: Any) -> Trigger:
    """Applies policies to a table with these columns."""

    def trigger(scene: Scene) -> Any:
        filters = Filters(**(policies or {}))
        rows = {"user_id": ["ann", "bob"], "item_id": ["a", "b"]} | columns
        raw = RawData(interactions=pl.DataFrame(rows), items=None if items is None else pl.DataFrame(items))
        raw = canonicalize(raw, allow_missing=filters.missing == "drop")
        raw, _ = filters.before_order(raw, Order(by=order).key(raw.interactions))  # type: ignore[arg-type]
        from genrec.data.lib.events import Events

        return filters.apply(Order().sort(Events.of(raw)))

    return trigger


def looked_over(content: str, *words: str, items: str | None = None) -> Trigger:
    """Runs `genrec init` on a file."""

    def trigger(scene: Scene) -> Any:
        (scene.path / "x.csv").write_text(content, encoding="utf-8")
        if items is not None:
            (scene.path / "i.csv").write_text(items, encoding="utf-8")
        parser = argparse.ArgumentParser()
        init.add_arguments(parser)
        return init.main(parser.parse_intermixed_args(["x.csv", *words]))

    return trigger


def loses_a_row(scene: Scene) -> Any:
    """A reading that drops a line: the count finds it."""
    whole = _Reading._read_at_once

    def fewer(self: Any, text: str, lines: int | None = None) -> Any:
        table = whole(self, text, lines)
        self.tally.rows -= 1
        return table

    scene.monkeypatch.setattr(_Reading, "_read_at_once", fewer)
    return file(ROWS)(scene)


def carried(settings: Any) -> Trigger:
    def trigger(scene: Scene) -> Any:
        files = OptionFiles(scene.path, sources={("data", "mine"): scene.path / "mine.yaml"})
        return apply_settings({"data": {"settings": settings}, "filters": {"missing": "error"}}, {"data": "mine"}, files, [])

    return trigger


CASES = [
    # the file itself
    Case("nothing there", DataError, "nothing there", lambda scene: read_table(scene.path / "none.csv")),
    Case("a folder", DataError, "a folder", lambda scene: list(text_lines(scene.path))),
    Case("empty", DataError, "0 bytes", file("")),
    Case("blank", DataError, "only empty lines", file("\n \n")),
    Case("a damaged gzip", DataError, "after line 1", file(b"\x1f\x8b\x08\x00\x00", name="x.csv.gz")),
    Case("latin-1", DataError, "'u\\xe9,i1' (it would read 'ué,i1' as cp1252", file(b"user_id,item_id\nu\xe9,i1\n")),
    Case("no such encoding", DataError, "got utf-9", file(ROWS, encoding="utf-9")),
    Case("a separator with a line end", ConfigError, r"got '\n'", lambda scene: TextFormat(separator="\n", settings="data.")),
    Case("a name twice", ConfigError, "got a", lambda scene: TextFormat(names=["a", "b", "a"], settings="data.")),
    # records
    Case("lost", DataError, "all 13 lines", loses_a_row),
    Case("too many fields", DataError, "got 4: 'u9,i1,5,x'", file(ROWS + "u9,i1,5,x\n")),
    Case("too few fields", DataError, "got 2: 'u9,i1'", file(ROWS + "u9,i1\n")),
    Case("an open quotation mark", DataError, "got 'u9,\"i1,5'", file(ROWS + 'u9,"i1,5\nu9,i2,6\n')),
    Case("whole records inside a field", DataError, "line 14", file(ROWS + 'u9,i1,"5\nu9,i2,6\nu8,i3,7"\n')),
    Case("records inside a field", DataError, "line 14", file(ROWS + 'u9,"i1,5\nu9,i2,6\nu8,"i3,7\n')),
    Case("a column twice", DataError, "'item_id' in columns 2 and 3", file("user_id,item_id,item_id\na,b,c\n")),
    Case("other names than fields", DataError, "got 3: ", file(ROWS, columns=["user_id", "item_id"])),
    # ids
    Case("no id", DataError, "row 2, column user_id: expected an id, got None", column(user_id=["ann", None])),
    Case("a list", DataError, "a list '[1, 2]'", column(item_id=["[1, 2]", "a"])),
    Case("an object", DataError, "an object '{\"id\": 1}'", column(item_id=['{"id": 1}', "a"])),
    Case("ids in quotation marks", DataError, '"a"', column(item_id=['"a"', '"b"'])),
    Case("a list column", DataError, "[1, 2]", column(item_id=[[1, 2], [3]])),
    Case("decimals", DataError, "got 1.5", column(item_id=[1.0, 1.5])),
    Case("decimals as text", DataError, "got '1.5'", column(item_id=["1.0", "1.5"])),
    Case("rounded by a spreadsheet", DataError, "got '1.2E+11'", column(item_id=["1.2E+11", "3"])),
    Case("truth values", DataError, "got 'true'", column(item_id=["true", "False"])),
    Case("control characters", DataError, r"'a\x00b'", column(item_id=["a\x00b", "c"])),
    # times and numbers
    Case(
        "a date in two ways", DataError, "'01/02/2020', which may be 1 February", column(timestamp=["01/02/2020", "03/04/2020"])
    ),
    Case(
        "two orders",
        DataError,
        "'13/01/2020' (day first) and, in row 2, '01/13/2020'",
        column(timestamp=["13/01/2020", "01/13/2020"]),
    ),
    Case("no time", DataError, "got 'noon'", column(timestamp=["noon", "later"])),
    Case("a duration", DataError, "Duration", column(timestamp=pl.Series([1, 2]).cast(pl.Duration("us")))),
    Case("two units", DataError, "got 1600000000 ", column(timestamp=[1_600_000_000, 1_600_000_001_000])),
    Case("an odd format", ConfigError, "got dd/mm", file(ROWS, date_format="dd/mm")),
    Case(
        "another format", DataError, "'0' (1 such rows)", file("user_id,item_id,timestamp\na,b,0\na,c,2020\n", date_format="%Y")
    ),
    Case("no rating", DataError, "got 'good'", column(rating=["good", "5"])),
    Case("a list as rating", DataError, "List", column(rating=[[1], [2]])),
    Case("a list as kind", DataError, "List", column(event_type=[["a"], ["b"]])),
    Case(
        "no interactions",
        DataError,
        "0 rows",
        lambda scene: canonicalize(RawData(pl.DataFrame({"user_id": [], "item_id": []}), None)),
    ),
    Case("no items", DataError, "0 rows", column(items={"item_id": pl.Series([], dtype=pl.String)})),
    Case("an item twice", DataError, "'a' again", column(items={"item_id": ["a", "a"], "title": ["x", "y"]})),
    # policies
    Case("nothing complete", DataError, "none of 2", filtered(user_id=[None, ""], policies={"missing": "drop"})),
    Case("no kinds", DataError, "['buy']", filtered(policies={"event_types": ["buy"]})),
    Case("an unknown kind", DataError, "got buy", filtered(event_type=["view", "cart"], policies={"event_types": ["buy"]})),
    Case("an empty list of kinds", ConfigError, "got []", lambda scene: Filters(event_types=[])),
    Case("a negative core", ConfigError, "got -1", lambda scene: Filters(k_core=-1)),
    Case("an unknown item", DataError, "got 'b' (1 such rows)", filtered(items={"item_id": ["a"]})),
    Case(
        "padded ids",
        DataError,
        "'007' is '7' there: set data.ids=numbers",
        filtered(items={"item_id": ["7"]}, item_id=["007", "x"]),
    ),
    Case("no item known", DataError, "all there are", filtered(items={"item_id": ["z"]}, policies={"unknown_items": "drop"})),
    Case("no ratings", DataError, "got columns", filtered(policies={"min_rating": 3.0})),
    Case("nothing left", DataError, "none of 2", filtered(policies={"k_core": 9})),
    # genrec init
    Case("a yaml that is there", ConfigError, "x.csv: expected a new file", looked_over(ROWS, "--out", "x.csv")),
    Case("a yaml nowhere", ConfigError, "got no none", looked_over(ROWS, "--out", "none/x.yaml")),
    Case("a choice as a setting", ConfigError, "got encoder=tfidf", looked_over(ROWS, "encoder=tfidf")),
    Case("no user", DataError, "got columns a, b", looked_over("a,b\nx,y\n")),
    Case("no header", DataError, "got data: 1, 2020-01-01, 7", looked_over("1,2020-01-01,7\n2,2020-01-02,8\n")),
    Case(
        "items without ids",
        DataError,
        "got columns name, price",
        looked_over(ROWS, "--items", "i.csv", items="name,price\nx,5.5\n"),
    ),
    Case("settings that are none", ConfigError, "got ['a']", carried(["a"])),
    Case("settings of nothing", ConfigError, "got nothing.at", carried({"nothing.at": 1})),
]
