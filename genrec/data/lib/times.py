"""Reads times (numbers, dates in many formats, date columns) without loss of order, or refuses them with row and value."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from genrec.data.lib.date_text import DATE_FORMATS, Moments, Order, date_readings
from genrec.errors import ConfigError, DataError, excerpt

EXACT = 1 << 53  # larger integers cannot all be represented as 64-bit floats
_COMPACT = {8: "yyyymmdd", 12: "yyyymmddhhmm", 14: "yyyymmddhhmmss", 17: "yyyymmddhhmmssfff"}
# Ranges of times since 1970, from 1983 to 2096, by unit; they lie far apart.
_UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_ALIKE = "write all dates alike, best as 2020-01-31"
_FIRST, _LAST = 4.1e8, 4.0e9


@dataclass(frozen=True)
class Times:
    """A column of times.

    Args:
        seconds: Float64: dates as seconds since 1970, numbers as they stand; null where missing.
        exact: sorts as the times do where ``seconds`` cannot tell them apart; None: it can.
        reading: how they were read, in words; None where numbers are numbers and dates are dates.
        bad: rows whose value is no time (bool), all false after ``read_times``.
        is_clock: whether they are dates, or numbers that look like times since 1970.
    """

    seconds: pl.Series
    exact: pl.Series | None = None
    reading: str | None = None
    bad: pl.Series | None = None
    is_clock: bool = False


def check_date_format(date_format: str) -> None:
    """Raises ConfigError for what is neither a rule nor a format with ``%`` signs."""
    if date_format not in DATE_FORMATS and "%" not in date_format:
        expected = f"{', '.join(DATE_FORMATS)}, or a format such as %d/%m/%Y"
        raise ConfigError("date_format", expected=expected, got=date_format, fix="set data.date_format=auto")


def read_times(column: pl.Series, where: str, date_format: str = "auto", *, settings: bool = False) -> Times:
    """Reads a column of times.

    Args:
        column: numbers, text or dates.
        where: file and column, for messages, as in ``x.csv{row}, column t``: ``{row}`` becomes the row.
        date_format: ``auto``; ``day_first``, ``month_first`` or ``year_first`` for dates as 01/02/2020; ``number`` for digits
            that only look like dates (20200131); or a format with ``%`` signs, for text.
        settings: whether keys of the configuration can be changed, so that messages name them.

    Raises:
        DataError: naming row and value: no time, or not finite; dates whose day and month are ambiguous; numbers in two
            units; types that are no times.
    """
    dtype = column.dtype
    if dtype in (pl.Time, pl.Duration) or not (dtype.is_temporal() or dtype.is_numeric() or _is_text(dtype)):
        if dtype == pl.Null:
            return Times(column.cast(pl.Float64))
        value = column.drop_nulls()
        got = f"{value[0] if len(value) else None} ({dtype})"
        fix = "write it as a date or a number" + (", or name another column: data.timestamp=COLUMN" if settings else "")
        raise DataError(where.format(row=""), expected="times: numbers, dates or text", got=got, fix=fix)
    if dtype.is_temporal():
        return _times_of_dates(column)
    if _is_text(dtype):
        times = _times_of_text(column, where, date_format, settings)
        bad = pl.Series([False]).new_from_index(0, len(column)) if times.bad is None else times.bad
    else:
        times = _times_of_numbers(column, date_format)
        bad = times.seconds.is_null() & column.is_not_null()
    if bad.any():
        said = f"a time written as data.date_format={date_format} says"
        expected = "a time: a number, a date, or ISO text" if date_format == "auto" else said
        fix = "repair the row" + (", or say how times are written: data.date_format=..." if settings else "")
        raise _bad_value(column, bad, where, expected, fix)
    if not times.seconds.is_finite().fill_null(True).all():
        raise _bad_value(column, times.seconds.is_finite().not_().fill_null(False), where, "a finite number")
    if times.is_clock is False and date_format == "auto":
        _refuse_two_units(column, times.seconds, where)
    return times


def _is_text(dtype: pl.DataType) -> bool:
    return dtype in (pl.String, pl.Categorical, pl.Enum)


def _times_of_dates(column: pl.Series) -> Times:
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    assert isinstance(column.dtype, pl.Datetime)
    micro = column.dt.epoch("us")
    exact = None
    if column.dtype.time_unit == "ns":
        nano = column.dt.epoch("ns")
        exact = nano if (nano % 1000 != 0).any() else None
    return Times((micro / 1e6).alias(column.name), exact, is_clock=True)


def _times_of_moments(moments: Moments, places: pl.Series, column: pl.Series, reading: str | None) -> Times:
    """``moments`` of the rows ``places`` (row numbers) of a column."""
    micro, nano = (_spread_over_rows(values, places, len(column)) for values in (moments.micro, moments.nano))
    exact = micro * 1000 + nano if (nano.fill_null(0) != 0).any() else None
    return Times((micro / 1e6).alias(column.name), exact, reading, is_clock=True)


def _spread_over_rows(values: pl.Series, places: pl.Series, height: int) -> pl.Series:
    """``values`` in the rows ``places`` of a column, null elsewhere."""
    if len(values) == height:
        return values
    frame = pl.DataFrame({"row": places.cast(pl.Int64), "value": values})
    return pl.DataFrame({"row": pl.int_range(height, eager=True)}).join(frame, on="row", how="left", maintain_order="left")[
        "value"
    ]


def _times_of_numbers(column: pl.Series, date_format: str) -> Times:
    seconds = column.cast(pl.Float64)
    if column.dtype.is_float():
        whole = column.is_null() | (column.is_finite() & (column == column.round()) & (column.abs() < EXACT))
        if date_format != "number" and len(column) and whole.all():
            compact = _read_compact_dates(column.cast(pl.Int64, strict=False))
            if compact is not None:
                return compact
        return Times(seconds)
    if column.dtype.is_integer() and date_format != "number":
        compact = _read_compact_dates(column)
        if compact is not None:
            return compact
    lossy = column.dtype.is_decimal() or (column.drop_nulls().cast(pl.Int128).abs() > EXACT).any()
    return Times(seconds, column if lossy else None)


def _read_compact_dates(column: pl.Series) -> Times | None:
    """Integers that are all dates written without separators (20200131, 20200131180009)."""
    values = column.drop_nulls()
    if values.is_empty():
        return None
    low, high = int(values.min()), int(values.max())  # type: ignore[arg-type]
    digits = len(str(low))
    if digits not in _COMPACT or len(str(high)) != digits or not 1900 <= int(str(low)[:4]) <= int(str(high)[:4]) <= 2100:
        return None
    text = values.cast(pl.String)
    date = text.str.slice(0, 8).str.to_date("%Y%m%d", strict=False)
    if date.null_count():
        return None
    seconds = date.cast(pl.Int32).cast(pl.Int64) * 86_400
    for start, limit, scale in ((8, 24, 3600), (10, 60, 60), (12, 60, 1)):
        if digits > start:
            part = text.str.slice(start, 2).cast(pl.Int64)
            if (part >= limit).any():
                return None
            seconds = seconds + part * scale
    micro = seconds * 1_000_000
    if digits == 17:
        micro = micro + text.str.slice(14, 3).cast(pl.Int64) * 1_000
    places = column.is_not_null().arg_true()
    return _times_of_moments(Moments(micro, micro * 0), places, column, f"dates written {_COMPACT[digits]}")


def _times_of_text(column: pl.Series, where: str, date_format: str, settings: bool) -> Times:
    text = column.cast(pl.String).str.strip_chars()
    text = text.replace("", None)
    if "%" in date_format:
        moments = text.str.to_datetime(date_format, strict=False, time_unit="us")
        return (
            _times_of_dates(moments.alias(column.name))
            if moments.null_count() == text.null_count()
            else Times(moments.dt.epoch("us").cast(pl.Float64), bad=moments.is_null() & text.is_not_null())
        )
    values = text.drop_nulls()
    numbers = text.cast(pl.Float64, strict=False)
    if numbers.null_count() < len(numbers) or values.is_empty() or date_format == "number":  # some are numbers, so all must be
        if numbers.null_count() == text.null_count():
            return _times_of_digits(text, numbers.alias(column.name), values, date_format)
        return Times(numbers, bad=numbers.is_null() & text.is_not_null())
    orders: list[Order] | None = [date_format] if date_format in ("day_first", "month_first", "year_first") else None  # type: ignore[list-item]
    readings = date_readings(values, orders)
    places = text.is_not_null().arg_true()
    first = readings[0]
    if not first.complete:
        if first.order is not None and orders is None:
            _refuse_two_orders(values, places, where)
        bad = _spread_over_rows(first.micro.is_null(), places, len(column)).fill_null(False)
        return Times(numbers, bad=bad)
    for other in readings[1:]:
        differ = first.micro != other.micro
        if differ.any():
            _refuse_ambiguous(values, places, differ, readings, where, settings)
    reading = None if first.order is None else f"dates written {first.order.replace('_', ' ')}"
    return _times_of_moments(first, places, column, reading)


def _times_of_digits(text: pl.Series, numbers: pl.Series, values: pl.Series, date_format: str) -> Times:
    """Numbers written as text, exact where 64-bit floats are not."""
    if values.str.contains(r"^[+-]?\d+$").all():
        return _times_of_numbers(text.cast(pl.Int128, strict=False).alias(numbers.name), date_format)
    if values.str.contains(r"^\d+\.0+$").all():
        return _times_of_numbers(text.str.replace(r"\.0+$", "").cast(pl.Int128, strict=False).alias(numbers.name), date_format)
    if (values.str.len_chars() > 15).any():
        exact = text.cast(pl.Decimal(38, 12), strict=False)
        if exact.null_count() == text.null_count() and exact.n_unique() > numbers.n_unique():
            return Times(numbers, exact)
    return Times(numbers)


def _refuse_two_units(column: pl.Series, seconds: pl.Series, where: str) -> None:
    """Refuses seconds beside milliseconds: numbers that are all times since 1970, but of different units."""
    values = seconds.drop_nulls()
    units = {unit: values.is_between(_FIRST * scale, _LAST * scale) for unit, scale in _UNITS.items()}
    there = [unit for unit, mask in units.items() if mask.any()]
    if len(there) < 2 or sum(int(mask.sum()) for mask in units.values()) < len(values):
        return
    few, many = (
        sorted(there, key=lambda unit: int(units[unit].sum()))[0],
        sorted(there, key=lambda unit: int(units[unit].sum()))[-1],
    )
    scale = _UNITS[few]
    odd = seconds.is_between(_FIRST * scale, _LAST * scale).fill_null(False)
    raise _bad_value(column, odd, where, f"times in one unit ({many}, as most are)", fix=f"convert the rows in {few}")


def _refuse_two_orders(values: pl.Series, places: pl.Series, where: str) -> None:
    """Refuses a column in which one date can only be day first and another only month first."""
    by_day, by_month = (date_readings(values, [order])[0].micro for order in ("day_first", "month_first"))
    only_day, only_month = by_day.is_not_null() & by_month.is_null(), by_month.is_not_null() & by_day.is_null()
    neither = by_day.is_null() & by_month.is_null()
    if only_day.any() and only_month.any() and not neither.any():
        one, other = _first_row(only_day), _first_row(only_month)
        raise DataError(
            where.format(row=f", row {places[one] + 1}"),
            expected="dates in one order",
            got=f"{excerpt(values[one])} (day first) and, in row {places[other] + 1}, {excerpt(values[other])} (month first)",
            fix=_ALIKE,
        )


def _refuse_ambiguous(
    values: pl.Series, places: pl.Series, differ: pl.Series, readings: list[Moments], where: str, settings: bool
) -> None:
    at = _first_row(differ)
    candidates = []
    for reading in readings:
        day = reading.micro.slice(at, 1).cast(pl.Datetime("us")).dt.strftime("%-d %B %Y")[0]
        candidates.append(f"{day} ({reading.order})")
    raise DataError(
        where.format(row=f", row {places[at] + 1}"),
        expected="dates whose day and month can be distinguished",
        got=f"{excerpt(values[at])}, which may be {' or '.join(candidates)}",
        fix="set " + " or ".join(f"data.date_format={reading.order}" for reading in readings) if settings else _ALIKE,
    )


def _first_row(mask: pl.Series) -> int:
    row = mask.arg_max()
    assert row is not None
    return row


def _bad_value(column: pl.Series, where: pl.Series, place: str, expected: str, fix: str = "repair the row") -> DataError:
    row = _first_row(where)
    value = column[row]
    got = f"{excerpt(value) if isinstance(value, str) else repr(value)} ({where.sum():,} such rows)"
    return DataError(place.format(row=f", row {row + 1}"), expected=expected, got=got, fix=fix)
