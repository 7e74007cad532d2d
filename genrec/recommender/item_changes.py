"""Items as callers give them, in the columns of a catalogue, and what a call changed of the catalogue.

One rule says what may be the id of an item that comes in; any id can be taken down.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool

from genrec.errors import DataError, did_you_mean
from genrec.types import ITEM_ID


@dataclass(frozen=True, eq=False)
class ItemRows:
    """Items as a caller gave them, in the columns of a catalogue.

    Args:
        frame: exactly the columns of the catalogue; what an item does not say is null.
        named: for each column, which rows say something of it, be it that there is nothing.
    """

    frame: pl.DataFrame
    named: Mapping[str, Bool[np.ndarray, " rows"]]

    def select(self, chosen: Bool[np.ndarray, " rows"]) -> ItemRows:
        """Returns some of the rows."""
        return ItemRows(self.frame.filter(pl.Series(chosen)), {name: rows[chosen] for name, rows in self.named.items()})

    def named_values(self) -> list[dict[str, Any]]:
        """Returns the id of each row and the values that it names."""
        rows = self.frame.to_dicts()
        return [
            {name: value for name, value in row.items() if name == ITEM_ID or self.named[name][number]}
            for number, row in enumerate(rows)
        ]


def item_dicts(items: Any) -> list[Any]:
    """Returns one mapping per item; ids that a table has as integers become text, as in histories.

    Args:
        items: a polars, pandas or arrow table, or one mapping an item.

    Raises:
        DataError: for anything else.
    """
    if isinstance(items, pl.LazyFrame):
        items = items.collect()
    if hasattr(items, "columns") and not isinstance(items, pl.DataFrame):
        try:
            items = pl.DataFrame(items)
        except (TypeError, ValueError, ImportError, pl.exceptions.PolarsError) as error:
            got = f"{type(items).__name__}: {error}"
            raise DataError(
                "items", expected="a table that polars can read", got=got, fix="give item_id and content"
            ) from error
    if isinstance(items, pl.DataFrame):
        if items.schema.get(ITEM_ID, pl.String()).is_integer():
            items = items.with_columns(pl.col(ITEM_ID).cast(pl.String))
        return items.to_dicts()
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        fix = "give a list of mappings, or a table"
        raise DataError("items", expected="a table, or a list of items", got=f"{items!r:.100}", fix=fix)
    return list(items)


def item_rows(items: pl.DataFrame | Iterable[Mapping[str, Any]], schema: Mapping[str, pl.DataType]) -> ItemRows:
    """Returns items in the columns of a catalogue.

    Args:
        items: a table, or one mapping an item: ``item_id`` and any columns of the catalogue.
        schema: of the catalogue.

    Raises:
        DataError: for what is no item, ids that are missing, too long or given twice, unknown columns, and values that do not
            fit theirs.
    """
    rows = item_dicts(items)
    for _, error in problems(rows, schema):
        raise error
    frame = pl.DataFrame({name: _series(name, kind, [row.get(name) for row in rows]) for name, kind in schema.items()})
    return ItemRows(frame, {name: np.array([name in row for row in rows], dtype=bool) for name in schema})


def problems(rows: list[Any], schema: Mapping[str, pl.DataType]) -> Iterator[tuple[int, DataError]]:
    """Yields what is wrong with rows, each with the number of its row from 0.

    Args:
        rows: as given.
        schema: of the catalogue.
    """
    seen_ids, sound_rows = set[str](), list[int]()
    for number, row in enumerate(rows):
        error = _row_error(row, seen_ids, schema)
        if error is None:
            sound_rows.append(number)
        else:
            yield number, error
    for name, kind in schema.items():
        values = [rows[number].get(name) for number in sound_rows]
        if _fits(name, kind, values):
            continue
        for number, value in zip(sound_rows, values, strict=True):  # one by one, to name those that do not fit
            if not _fits(name, kind, [value]):
                where, got = f"items: {rows[number][ITEM_ID]}, column {name}", repr(value)[:200]
                yield number, DataError(where, expected=f"a value of type {kind}", got=got, fix="correct it, or leave it out")


def _row_error(row: Any, seen_ids: set[str], schema: Mapping[str, pl.DataType]) -> DataError | None:
    if not isinstance(row, Mapping):
        return DataError("items", expected="a mapping of columns to values", got=repr(row), fix="give item_id and content")
    item_id = row.get(ITEM_ID)
    if not isinstance(item_id, str) or not is_item_id(item_id):
        expected = f"an item_id, a string of 1 to {LONGEST_ID:,} characters"
        return DataError("items", expected=expected, got=shown_id(item_id), fix="give every item its own string")
    if item_id in seen_ids:
        return DataError("items", expected="an item_id, each once", got=shown_id(item_id), fix="give every item its own string")
    seen_ids.add(item_id)
    for column in row:
        if column not in schema:
            fix = did_you_mean(str(column), schema)
            return DataError(f"items: {item_id}", expected="columns of the catalogue", got=column, fix=fix)
    return None


def _fits(name: str, kind: pl.DataType, values: list[Any]) -> bool:
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        return False
    try:
        _series(name, kind, values)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return False
    return True


def _series(name: str, kind: pl.DataType, values: list[Any]) -> pl.Series:
    if kind.is_temporal():  # json has no times: they come as text
        return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String).cast(kind)
    return pl.Series(name, values, dtype=kind, strict=True)


LONGEST_ID = 1_000  # characters of a new item's id; whatever a catalogue has already can be named and taken down


def is_item_id(value: Any) -> bool:
    """Whether an item may come with this id: a string of 1 to ``LONGEST_ID`` whole characters."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half a character, which no file and no answer can carry
        return False
    return True


def shown_id(value: Any) -> str:
    """Returns an id as a message shows it: the beginning and length of a long one, half characters escaped."""
    text = (
        ascii(value) if isinstance(value, str) and not value.isascii() and not is_item_id(value[:LONGEST_ID]) else repr(value)
    )
    return text if len(text) <= 100 else f"{text[:80]}... ({len(value) if isinstance(value, str) else len(text):,} characters)"


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The ids that a call changed, by what it did to them, each in the order given.

    Args:
        added: new to the catalogue.
        updated: known, and some of their content is another now.
        unchanged: known, and nothing about them changed.
        removed: not recommended from now on.
        restored: recommended again.
        unknown: the catalogue does not have them; nothing was done.
        still_removed: added or updated, and not recommended: they were taken down, and only a restore puts them back.
    """

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    still_removed: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """``num_added``, ``num_updated``, ... in the order of the fields."""
        return {f"num_{field.name}": len(getattr(self, field.name)) for field in fields(self) if field.name != "unknown"}

    def and_then(self, later: Changes) -> Changes:
        """Returns the changes of two calls, one after the other."""
        return replace(self, **{field.name: getattr(self, field.name) + getattr(later, field.name) for field in fields(self)})

    @property
    def anything(self) -> bool:
        """Whether the catalogue differs afterwards."""
        return bool(self.added or self.updated or self.removed or self.restored)
