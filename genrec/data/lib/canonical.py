"""Casts the tables of a source to canonical types and checks every row; messages about rows come from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import polars as pl

from genrec.data.lib.events import EXACT_TIME, ROW
from genrec.data.lib.files import require_columns
from genrec.data.lib.ids import text_ids
from genrec.data.lib.times import check_date_format, read_times
from genrec.errors import DataError, excerpt
from genrec.protocols import RawData
from genrec.types import EVENT_TYPE, ITEM_ID, POSITION, RATING, SPLIT, TIMESTAMP, USER_ID, WEIGHT

__all__ = ["EXACT_TIME", "ROW", "as_numbers", "canonicalize", "text_ids"]

NUMBERS = {POSITION: pl.Int64(), RATING: pl.Float64(), WEIGHT: pl.Float64()}


def canonicalize(
    raw: RawData, *, allow_missing: bool = False, duplicates: bool = False, further: Mapping[str, str] = MappingProxyType({})
) -> RawData:
    """Returns the data with ids as text, times in seconds and numbers as numbers.

    The interactions gain a column ``row`` and lose columns without a canonical name that are not ``further`` ones.
    Times may be numbers, dates or text (see ``read_times``). Missing values are legal except in ids; ``Order`` decides whether
    a missing time is an error.

    Args:
        raw: as a source read it.
        allow_missing: missing ids stay null instead.
        duplicates: whether rows of the catalogue that repeat another row completely are left out and counted.
        further: other columns of the interactions that are kept -> ``category``, ``number`` or ``text``.

    Raises:
        DataError: naming file, row (counted from 1), column and value: missing columns, no rows, missing ids, values that are
            no ids, numbers that are none or not finite, times that are none or can be read in two ways, an item id twice.
    """
    check_date_format(raw.date_format)
    file = raw.files.get("interactions", "interactions")
    table = raw.interactions
    require_columns([USER_ID, ITEM_ID], table.columns, file)
    if table.height == 0:
        raise DataError(file, expected="at least one interaction", got="none (0 rows)", fix="check the file")
    names = {name: raw.columns.get(name, name) for name in (USER_ID, ITEM_ID, TIMESTAMP, *NUMBERS)}
    columns = [
        text_ids(table[name], file, ids=raw.ids, name=names[name], allow_missing=allow_missing, settings=True)
        for name in (USER_ID, ITEM_ID)
    ]
    notes = list(raw.notes)
    if TIMESTAMP in table.columns:
        times = read_times(table[TIMESTAMP], f"{file}{{row}}, column {names[TIMESTAMP]}", raw.date_format, settings=True)
        columns.append(times.seconds.alias(TIMESTAMP))
        if times.exact is not None:
            columns.append(times.exact.alias(EXACT_TIME))
        if times.reading is not None:
            notes.append((f"times read as {times.reading}", table.height - times.seconds.null_count()))
    columns += [as_numbers(table[name], dtype, file, names[name]) for name, dtype in NUMBERS.items() if name in table.columns]
    if EVENT_TYPE in table.columns:
        columns.append(_labels(table[EVENT_TYPE], file, raw.columns.get(EVENT_TYPE, EVENT_TYPE)))
    if SPLIT in table.columns:
        columns.append(_labels(table[SPLIT], file, raw.columns.get(SPLIT, SPLIT)))
    present = {column.name for column in columns}
    for name, kind in further.items():
        if name in table.columns and name not in present:
            number = kind == "number"
            columns.append(as_numbers(table[name], pl.Float64(), file) if number else _labels(table[name], file, name))
    users = raw.users
    if users is not None:
        users = _users(users, raw.files.get("users", "users"), raw.ids)
    items = raw.items
    if items is not None:
        items, repeated = _catalogue(items, raw.files.get("items", "items"), raw.ids, allow_missing, duplicates)
        notes += repeated
    return replace(raw, interactions=pl.DataFrame(columns).with_row_index(ROW), items=items, notes=notes, users=users)


def _users(users: pl.DataFrame, file: str, ids: str) -> pl.DataFrame:
    require_columns([USER_ID], users.columns, file)
    users = users.with_columns(text_ids(users[USER_ID], file, ids=ids, settings=True))
    repeated = users[USER_ID].is_first_distinct().not_()
    if repeated.any():
        row = repeated.arg_max()
        assert row is not None
        raise DataError(
            f"{file}, row {row + 1}, column {USER_ID}",
            expected="each user once",
            got=f"{excerpt(users[USER_ID][row])} again ({repeated.sum()} repeated rows)",
            fix="keep one row per user",
        )
    return users


def _catalogue(
    items: pl.DataFrame, file: str, ids: str, allow_missing: bool, duplicates: bool
) -> tuple[pl.DataFrame, list[tuple[str, int]]]:
    require_columns([ITEM_ID], items.columns, file)
    if items.height == 0:
        raise DataError(file, expected="at least one item", got="none (0 rows)", fix="check the file")
    items = items.with_columns(text_ids(items[ITEM_ID], file, ids=ids, allow_missing=allow_missing, settings=True))
    notes = []
    if allow_missing and (missing := items[ITEM_ID].null_count()):
        items = items.filter(pl.col(ITEM_ID).is_not_null())
        notes.append(("items without an id left out", missing))
    repeated = items[ITEM_ID].is_first_distinct().not_()
    if not repeated.any():
        return items, notes
    distinct = items.unique(maintain_order=True)
    if duplicates and distinct[ITEM_ID].is_unique().all():
        return distinct, [*notes, ("items written twice alike, of which one is kept", items.height - distinct.height)]
    row = repeated.arg_max()
    assert row is not None
    fix = "keep one row per item"
    if distinct[ITEM_ID].is_unique().all():
        fix += ", or set filters.duplicates=drop, since the repeated rows are alike"
    raise DataError(
        f"{file}, row {row + 1}, column {ITEM_ID}",
        expected="each item once",
        got=f"{excerpt(items[ITEM_ID][row])} again ({repeated.sum()} repeated rows)",
        fix=fix,
    )


def _labels(column: pl.Series, file: str, name: str) -> pl.Series:
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        got = f"{column.dtype}"
        raise DataError(f"{file}, column {name}", expected="text", got=got, fix="cast the column to text")
    return column.cast(pl.String).str.strip_chars()


def as_numbers(column: pl.Series, dtype: pl.DataType, file: str, name: str | None = None) -> pl.Series:
    """Casts a column to numbers, or to seconds where it is called ``timestamp``; missing values stay missing.

    Raises:
        DataError: for the first that is no number or not finite; naming ``file``, row and value.
    """
    name = name or column.name
    if column.name == TIMESTAMP:
        return read_times(column, f"{file}{{row}}, column {name}").seconds.cast(dtype).alias(TIMESTAMP)
    if column.dtype.is_nested() or column.dtype.is_temporal() or column.dtype in (pl.Boolean, pl.Binary, pl.Object):
        values = column.drop_nulls()
        got = f"{str(values[0])[:60] if len(values) else None} ({column.dtype})"
        raise DataError(f"{file}, column {name}", expected="numbers", got=got, fix="convert the column to numbers")
    numbers = _parse_numbers(column, dtype)
    unreadable = numbers.is_null() & column.is_not_null()
    if column.dtype == pl.String:
        unreadable &= column.str.strip_chars() != ""
    if unreadable.any():
        raise _bad_value(column, unreadable, file, name, "an integer" if dtype.is_integer() else "a number")
    if dtype.is_float():
        infinite = numbers.is_finite().not_().fill_null(False)
        if infinite.any():
            raise _bad_value(column, infinite, file, name, "a finite number")
    return numbers.alias(column.name)


def _parse_numbers(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        if dtype.is_integer():
            column = column.str.replace(r"\.0+$", "")
        return column.cast(dtype, strict=False)
    if column.dtype.is_float() and dtype.is_integer():
        whole = (column.is_finite() & (column == column.round())).fill_null(False)
        return pl.select(pl.when(whole).then(column).cast(dtype, strict=False)).to_series()
    return column.cast(dtype, strict=False)


def _bad_value(column: pl.Series, where: pl.Series, file: str, name: str, expected: str) -> DataError:
    row = where.arg_max()
    assert row is not None
    value = column[row]
    got = f"{excerpt(value) if isinstance(value, str) else repr(value)} ({where.sum():,} such rows)"
    return DataError(f"{file}, row {row + 1}, column {name}", expected=expected, got=got, fix="repair or remove the row")
