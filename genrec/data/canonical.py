"""Casts what a source read to the house's types and checks it; the one place that judges rows and names them."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from genrec.data.files import require_columns
from genrec.errors import DataError
from genrec.protocols import RawData
from genrec.types import EVENT_TYPE, ITEM_ID, POSITION, RATING, SPLIT, TIMESTAMP, USER_ID, WEIGHT

ROW = "row"  # place in the input, from 0
NUMBERS = {TIMESTAMP: pl.Float64(), POSITION: pl.Int64(), RATING: pl.Float64(), WEIGHT: pl.Float64()}


def canonical(raw: RawData) -> RawData:
    """The same data with ids as text, times in seconds, numbers as numbers; interactions gain ``row`` and lose unknown columns.

    Times may be numbers, dates or ISO text. Missing values are legal except in ids (whether a missing time matters is for
    ``Order`` to say).

    Raises:
        DataError: naming file, row (counted from 1), column and value: missing columns, no rows, missing ids, ids that are
            neither text nor integers, numbers that are none or not finite, an item id that occurs twice.
    """
    file = raw.files.get("interactions", "interactions")
    table = raw.interactions
    require_columns([USER_ID, ITEM_ID], table.columns, file)
    if table.height == 0:
        raise DataError(file, expected="at least one interaction", got="none (0 rows)", fix="check the file")
    columns = [text_ids(table[USER_ID], file), text_ids(table[ITEM_ID], file)]
    columns += [as_numbers(table[name], dtype, file) for name, dtype in NUMBERS.items() if name in table.columns]
    if EVENT_TYPE in table.columns:
        columns.append(table[EVENT_TYPE].cast(pl.String))
    if SPLIT in table.columns:
        columns.append(table[SPLIT].cast(pl.String))
    items = None if raw.items is None else _catalogue(raw.items, raw.files.get("items", "items"))
    return replace(raw, interactions=pl.DataFrame(columns).with_row_index(ROW), items=items)


def _catalogue(items: pl.DataFrame, file: str) -> pl.DataFrame:
    require_columns([ITEM_ID], items.columns, file)
    ids = text_ids(items[ITEM_ID], file)
    repeated = ids.is_first_distinct().not_()
    if repeated.any():
        row = repeated.arg_max()
        assert row is not None
        raise DataError(
            f"{file}, row {row + 1}, column {ITEM_ID}",
            expected="each item once",
            got=f"{ids[row]!r} again ({repeated.sum()} repeated rows)",
            fix="keep one row per item",
        )
    return items.with_columns(ids)


def text_ids(column: pl.Series, file: str) -> pl.Series:
    """Ids as text.

    Raises:
        DataError: when they are neither text nor integers, or missing; naming ``file``, row and value.
    """
    if not (column.dtype.is_integer() or column.dtype in (pl.String, pl.Categorical, pl.Enum)):
        raise DataError(
            f"{file}, column {column.name}",
            expected="ids as text or integers",
            got=f"{column[0]!r} ({column.dtype})",
            fix="cast the column to text",
        )
    text = column.cast(pl.String)
    missing = text.is_null() | (text == "").fill_null(True)
    if missing.any():
        raise _bad(column, missing, file, "an id")
    return text


def as_numbers(column: pl.Series, dtype: pl.DataType, file: str) -> pl.Series:
    """Numbers, or times in seconds, as ``dtype``; missing values stay missing.

    Raises:
        DataError: for the first that is no number or not finite; naming ``file``, row and value.
    """
    if column.dtype.is_temporal():
        seconds = column.cast(pl.Datetime("us"), strict=False).dt.epoch("us") / 1e6
        numbers = seconds.cast(dtype)
    else:
        numbers = _parsed(column, dtype)
    unreadable = numbers.is_null() & column.is_not_null()
    if unreadable.any():
        raise _bad(column, unreadable, file, "an integer" if dtype.is_integer() else "a number")
    if dtype.is_float():
        infinite = numbers.is_finite().not_().fill_null(False)
        if infinite.any():
            raise _bad(column, infinite, file, "a finite number")
    return numbers.alias(column.name)


def _parsed(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        numbers = column.cast(dtype, strict=False)
        if column.name == TIMESTAMP and numbers.null_count() == len(numbers):  # no number at all: perhaps dates
            return _dates(column)
        return numbers
    if column.dtype.is_float() and dtype.is_integer():
        whole = (column.is_finite() & (column == column.round())).fill_null(False)
        return pl.select(pl.when(whole).then(column).cast(dtype, strict=False)).to_series()
    return column.cast(dtype, strict=False)


def _dates(column: pl.Series) -> pl.Series:
    try:
        return column.str.to_datetime(strict=False, time_unit="us").dt.epoch("us") / 1e6
    except pl.exceptions.ComputeError:  # not even the first value looks like a date
        return pl.repeat(None, len(column), dtype=pl.Float64, eager=True)


def _bad(column: pl.Series, where: pl.Series, file: str, expected: str) -> DataError:
    row = where.arg_max()
    assert row is not None
    return DataError(
        f"{file}, row {row + 1}, column {column.name}",
        expected=expected,
        got=f"{column[row]!r} ({where.sum():,} such rows)",
        fix="repair or remove the row",
    )
