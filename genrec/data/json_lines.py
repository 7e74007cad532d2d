"""Reads tables of json lines: one object per line."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from genrec.data.shown import shown
from genrec.data.text_lines import AUTO, text_chunks, text_lines
from genrec.errors import DataError

_LONE_SURROGATE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


def read_json_lines(
    path: Path, columns: Sequence[str] | None = None, text: Sequence[str] = (), encoding: str = AUTO, settings: str = ""
) -> pl.DataFrame:
    """A table of json lines; with ``columns`` their values come as text (lists and objects as json text).

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
            got = shown((str(error).strip() or type(error).__name__).splitlines()[0])
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
    """The message for a line that is not ``what``; ``at`` is the place of the fault in it."""
    stripped = line.strip()
    at = max(0, at - (len(line) - len(line.lstrip())))
    place = f"{path}, line {number}" + (f", character {at + 1}" if at else "")
    fix = "repair or remove the line"
    if what == "a json object" and stripped in ("{", "["):
        fix = "write one object per line (json lines): this file is one value over many lines"
    return DataError(place, expected=what, got=shown(stripped, at=at), fix=fix)


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
