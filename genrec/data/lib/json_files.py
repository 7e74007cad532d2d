"""Reads json: tables of json lines, files that are one json value, and lines of Python literals.

A file that is one value may hold: an array of records; an object key -> record (products by their id); an object key ->
list (users and their items, items and their attributes); an object with one list of records in it; maps of ids to ids.
"""

from __future__ import annotations

import ast
import io
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from genrec.data.lib.text_lines import AUTO, kind_of, text_chunks, text_lines
from genrec.errors import DataError, excerpt
from genrec.types import ITEM_ID, USER_ID

_LONE_SURROGATE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


def read_json_lines(
    path: Path, columns: Sequence[str] | None = None, text: Sequence[str] = (), encoding: str = AUTO, settings: str = ""
) -> pl.DataFrame:
    """Reads a table of json lines; with ``columns``, their values are read as text (lists and objects as json text).

    Args:
        path: the file.
        columns: read only these, as far as they exist. None: all, types inferred from the whole file.
        text: columns that are text whatever they look like.
        encoding: as in ``text_chunks``.
        settings: prefix of the key that sets the encoding, for messages.

    Raises:
        DataError: naming the line that is no object.
    """
    tables = []
    for first, chunk in text_chunks(path, encoding, settings=settings):
        if not chunk.strip():
            continue
        if "\\u" in chunk and (lone := _LONE_SURROGATE.search(chunk)):
            number, start = first + chunk.count("\n", 0, lone.start()), chunk.rfind("\n", 0, lone.start()) + 1
            line = chunk[start : chunk.find("\n", start)]
            raise bad_line(path, number, line, "text of whole characters", at=lone.start() - start)
        schema = None if columns is None else dict.fromkeys(columns, pl.String)
        overrides = {name: pl.String for name in text if json.dumps(name, ensure_ascii=False) in chunk}
        try:
            tables.append(_table(chunk, schema, {} if columns is not None else overrides))
        except pl.exceptions.PolarsError as error:
            _check_lines(path, first, chunk)
            got = excerpt((str(error).strip() or type(error).__name__).splitlines()[0])
            raise DataError(path, expected="json lines", got=got, fix="repair the file") from error
    if not tables:
        raise DataError(path, expected="at least one row", got="only empty lines", fix="check the file")
    return pl.concat(tables, how="diagonal_relaxed")


def json_names(path: Path, encoding: str = AUTO) -> list[str]:
    """The keys of the first object.

    Raises:
        DataError: when the first line is none.
    """
    for first, lines in text_lines(path, encoding):
        for number, line in enumerate(lines, first):
            if line.strip():
                try:
                    record = json.loads(line)
                except ValueError as error:
                    raise bad_line(path, number, line, "a json object") from error
                return list(record) if isinstance(record, dict) else []
    return []


def bad_line(path: Path | str, number: int, line: str, what: str, at: int = 0) -> DataError:
    """Returns the error for a line that is not ``what``; ``at`` is the position of the fault in it."""
    stripped = line.strip()
    at = max(0, at - (len(line) - len(line.lstrip())))
    where = f"{path}, line {number}" + (f", character {at + 1}" if at else "")
    fix = "repair or remove the line"
    if what == "a json object" and stripped in ("{", "["):
        fix = "write one object per line (json lines): this file is one value over many lines"
    return DataError(where, expected=what, got=excerpt(stripped, at=at), fix=fix)


def _table(chunk: str, schema: dict[str, type[pl.String]] | None, overrides: dict[str, type[pl.String]]) -> pl.DataFrame:
    data = chunk.encode()
    try:
        return pl.read_ndjson(io.BytesIO(data), schema=schema, schema_overrides=overrides or None, infer_schema_length=None)
    except pl.exceptions.PolarsError:
        if not overrides:
            raise
        return pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)  # no object has such a key


def _check_lines(path: Path, first: int, chunk: str) -> None:
    """Finds the line that polars could not read; polars itself does not say which."""

    def constant(name: str) -> None:
        raise ValueError(name)  # NaN and Infinity are Python's, not json's

    for number, line in enumerate(chunk.split("\n"), first):
        if line.strip():
            try:
                record = json.loads(line, parse_constant=constant)
            except json.JSONDecodeError as error:
                raise bad_line(path, number, line, "a json object", at=error.pos) from error
            except ValueError as error:
                raise bad_line(path, number, line, "a json object", at=line.find(str(error))) from error
            if not isinstance(record, dict):
                raise bad_line(path, number, line, "a json object")


JSON = (".json", ".jsonl", ".ndjson")
ID_MAPS = {"item2id": "id2item", "user2id": "id2user"}  # P5's datamaps.json
VALUES = "attributes"  # what the lists of key -> list are called as a column
_SNIFFED = 1 << 16


def read_document(path: Path) -> Any:
    """Reads a file that is one json value (over one line or many), or the Python literals of its lines as a list.

    Returns None when the file is json lines or no json.

    Raises:
        DataError: when it begins like one value and is none; naming line and character.
    """
    if kind_of(path) not in JSON:
        return None
    head = _read_head(path)
    start = head.lstrip()[:1]
    if start not in ("{", "["):
        return None
    first = head.lstrip().split("\n", 1)[0]
    if start == "{" and _is_literal(first):
        return list(literals(path))
    try:
        value = json.loads(first)
    except ValueError:
        if start == "{" and not _goes_on(head):
            return None  # a damaged line of json lines: their reader names it
        return _read_whole(path)
    rest = head.lstrip()[len(first) :].strip()
    if kind_of(path) != ".json" and records_of(value) is None:
        return None  # a line that is no object
    if start == "{" and (rest or not _is_document(value)):
        return None
    return _read_whole(path) if start == "[" and not rest else value if not rest else _read_whole(path)


def literals(path: Path) -> Iterator[Any]:
    """Yields the Python literal of each line that is not empty; no code is run.

    Raises:
        DataError: naming the line that is none.
    """
    for first, text in text_chunks(path):
        for number, line in enumerate(text.split("\n"), first):
            if line.strip():
                try:
                    yield python_literal(line)
                except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
                    raise bad_line(path, number, line, "a Python literal (a dict)") from error


def python_literal(text: str) -> Any:
    """Parses the output of ``repr``: numbers, text, lists, dicts. No code is run."""
    with warnings.catch_warnings():  # product texts hold odd backslashes; Python would warn of each
        warnings.simplefilter("ignore", category=SyntaxWarning)
        warnings.simplefilter("ignore", category=DeprecationWarning)
        return ast.literal_eval(text.strip())


def histories_of(value: Any) -> Mapping[str, list[Any]] | None:
    """The value as user -> list of items, or None."""
    if isinstance(value, Mapping) and value and all(_is_list_of_ids(entry) for entry in value.values()):
        return value
    return None


def records_of(value: Any, key: str = ITEM_ID) -> list[dict[str, Any]] | None:
    """The value as records, or None.

    Args:
        value: as ``read_document`` gives it.
        key: what the keys of an object of records or lists are called as a column.
    """
    if isinstance(value, list):
        return value if value and all(isinstance(entry, dict) for entry in value) else None
    if not isinstance(value, dict) or not value:
        return None
    if ID_MAPS.keys() & value.keys() and all(isinstance(entry, dict) for entry in value.values()):
        pairs = value.get("item2id") or {name: number for number, name in value.get("id2item", {}).items()}
        return [{key: str(number), "original_id": name} for name, number in pairs.items()]
    if all(isinstance(entry, dict) for entry in value.values()):
        return [{key: name} | {field: entry[field] for field in entry if field != key} for name, entry in value.items()]
    if histories_of(value) is not None:
        return [{key: name, VALUES: [str(part) for part in entry]} for name, entry in value.items()]
    if len(value) > 1 and all(isinstance(entry, list) and all(isinstance(x, dict) for x in entry) for entry in value.values()):
        return [{USER_ID: name, "events": entry} for name, entry in value.items()]
    lists = [entry for entry in value.values() if isinstance(entry, list) and entry and all(isinstance(x, dict) for x in entry)]
    return lists[0] if len(lists) == 1 else None


def table_of(path: Path, value: Any, key: str = ITEM_ID) -> pl.DataFrame:
    """Turns a document into a table; values that are no text or number become json text, lists of text stay lists.

    Raises:
        DataError: when it holds no records.
    """
    records = records_of(value, key)
    if records is None:
        what = f"a {type(value).__name__} of {len(value):,} ({excerpt(json.dumps(value, ensure_ascii=False)[:200])})"
        fix = "write an array of objects, or an object of objects by their id"
        raise DataError(path, expected="json records", got=what, fix=fix)
    names = dict.fromkeys(name for record in records for name in record)
    return pl.DataFrame({name: _column([record.get(name) for record in records]) for name in names})


def _column(values: list[Any]) -> pl.Series:
    there = [value for value in values if value is not None]
    if all(isinstance(value, list) and not any(isinstance(part, list | dict) for part in value) for value in there) and there:
        lists = [None if value is None else [str(part) for part in value if part is not None] for value in values]
        return pl.Series(lists, dtype=pl.List(pl.String))
    if there and all(isinstance(value, list) and all(isinstance(part, dict) for part in value) for value in there):
        return pl.Series(values, strict=False)
    for kinds, dtype in (((bool,), pl.Boolean), ((int,), pl.Int64), ((int, float), pl.Float64)):
        if there and all(isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)) for value in there):
            small = dtype != pl.Int64 or all(abs(value) < 1 << 63 for value in there)
            return pl.Series(values, dtype=dtype) if small else pl.Series([_text(value) for value in values], dtype=pl.String)
    return pl.Series([_text(value) for value in values], dtype=pl.String)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return json.dumps(value, ensure_ascii=False)


def _read_whole(path: Path) -> Any:
    text = "".join(piece for _, piece in text_chunks(path))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = text.split("\n")[error.lineno - 1] if text else ""
        where = f"{path}, line {error.lineno}, character {error.colno}"
        expected = f"one json value ({error.msg[:1].lower()}{error.msg[1:]})"
        fix = "repair it, or write one object per line"
        raise DataError(where, expected=expected, got=excerpt(line, at=error.colno - 1), fix=fix) from error


def _read_head(path: Path) -> str:
    for _, text in text_chunks(path, block_bytes=_SNIFFED):
        return text
    return ""


def _is_literal(line: str) -> bool:
    return line.lstrip().startswith(("{'", "{u'", '{u"'))


def _goes_on(head: str) -> bool:
    """Whether an object that starts in the first line continues in the second, which is then no object itself."""
    lines = [line for line in head.split("\n") if line.strip()]
    if len(lines) < 2 or lines[0].rstrip().endswith("}"):
        return False
    try:
        return not isinstance(json.loads(lines[1]), dict)
    except ValueError:
        return True


def _is_document(value: Any) -> bool:
    """Whether one object alone in its file is a table by itself, not a record."""
    if not isinstance(value, dict) or not value:
        return False
    entries = list(value.values())
    return all(isinstance(entry, dict) for entry in entries) or all(isinstance(entry, list) for entry in entries)


def _is_list_of_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str | int) and not isinstance(part, bool) for part in value)
