"""New items as people give them -> rows of a catalogue's columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from genrec.errors import DataError, did_you_mean
from genrec.types import ITEM_ID


def item_rows(items: pl.DataFrame | Iterable[Mapping[str, Any]], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """A table with exactly the columns of the catalogue; what an item does not say is null.

    Args:
        items: a table, or one mapping an item: ``item_id`` and any columns of the catalogue.
        schema: of the catalogue.

    Raises:
        DataError: for what is no item, ids that are missing or given twice, unknown columns, and values that do not fit theirs.
    """
    rows: list[Mapping[str, Any]] = [*items.to_dicts()] if isinstance(items, pl.DataFrame) else list(items)
    known: set[str] = set()
    for row in rows:
        if not isinstance(row, Mapping):
            raise DataError("items", expected="a mapping of columns to values", got=repr(row), fix="give item_id and content")
        item_id = row.get(ITEM_ID)
        if not isinstance(item_id, str) or not item_id or item_id in known:
            raise DataError("items", expected="an item_id, each once", got=repr(item_id), fix="give every item its own string")
        known.add(item_id)
        for column in row:
            if column not in schema:
                fix = did_you_mean(column, schema)
                raise DataError(f"items: {item_id}", expected="columns of the catalogue", got=column, fix=fix)
    return pl.DataFrame([_column(name, kind, rows) for name, kind in schema.items()])


def _column(name: str, kind: pl.DataType, rows: list[Mapping[str, Any]]) -> pl.Series:
    for row in rows:  # one by one: the first that does not fit is the one to tell
        value = row.get(name)
        try:
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError
            _series(name, kind, [value])
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
            where, got = f"items: {row[ITEM_ID]}, column {name}", repr(value)[:200]
            raise DataError(where, expected=f"a value of type {kind}", got=got, fix="correct it, or leave it out") from error
    return _series(name, kind, [row.get(name) for row in rows])


def _series(name: str, kind: pl.DataType, values: list[Any]) -> pl.Series:
    if kind.is_temporal():  # json has no times: they come as text
        return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String).cast(kind)
    return pl.Series(name, values, dtype=kind, strict=True)
