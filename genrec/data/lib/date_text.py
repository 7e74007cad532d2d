"""Reads dates and times written as text; the whole column, or a setting, decides the order of day, month and year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import polars as pl

Order = Literal["day_first", "month_first", "year_first"]
DATE_FORMATS = ("auto", "day_first", "month_first", "year_first", "number")
_PARTS: dict[Order, tuple[str, str, str]] = {  # which of the three numbers is year, month, day
    "day_first": ("c", "b", "a"),
    "month_first": ("c", "a", "b"),
    "year_first": ("a", "b", "c"),
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_ZONES = {"z": 0, "utc": 0, "gmt": 0, "est": -300, "edt": -240, "cst": -360, "cdt": -300, "mst": -420, "mdt": -360,
          "pst": -480, "pdt": -420}  # fmt: skip
_CLOCK = r"(?<hour>\d{1,2}):(?<minute>\d{2})(?::(?<second>\d{2})(?:[.,](?<fraction>\d+))?)?"
_ZONE = r"\s*(?<zone>Z|z|UTC|GMT|[ECMP][SD]T|(?:GMT|UTC)?[+-]\d{2}(?::?\d{2})?)?"
_TIME = _CLOCK + r"\s*(?<half>[AaPp]\.?[Mm]\.?)?" + _ZONE + r"(?:\s*\([A-Za-z ]+\))?"
_WEEKDAY = r"(?:[A-Za-z]{2,9}\.?,?\s+)?"
_PATTERNS = (
    rf"^(?<a>\d{{1,4}})[-/.](?<b>\d{{1,2}})[-/.](?<c>\d{{1,4}})(?:[T,\s]\s*{_TIME})?$",
    rf"^(?<year>\d{{4}})(?<month>\d{{2}})(?<day>\d{{2}})[T ](?<hour>\d{{2}}):?(?<minute>\d{{2}})"
    rf"(?::?(?<second>\d{{2}})(?:[.,](?<fraction>\d+))?)?{_ZONE}$",
    rf"^(?<year>\d{{4}})年(?<month>\d{{1,2}})月(?<day>\d{{1,2}})日?(?:\s*{_TIME})?$",
    rf"^{_WEEKDAY}(?<a>\d{{1,4}})(?:st|nd|rd|th)?[-\s/.]+(?<name>[A-Za-z]{{3,9}})\.?,?[-\s/.]+(?<c>\d{{1,4}})(?:[:T,\s]\s*{_TIME})?$",
    rf"^{_WEEKDAY}(?<name>[A-Za-z]{{3,9}})\.?\s+(?<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?<year>\d{{4}})(?:,?\s+(?:at\s+)?{_TIME})?$",
    rf"^{_WEEKDAY}(?<name>[A-Za-z]{{3,9}})\s+(?<day>\d{{1,2}})\s+{_CLOCK}(?:\s+(?<zone>[+-]\d{{4}}|[A-Z]{{1,3}}))?\s+(?<year>\d{{4}})$",
)
_FIELDS = ("a", "b", "c", "year", "month", "day", "name", "hour", "minute", "second", "fraction", "half", "zone")


@dataclass(frozen=True)
class Moments:
    """A column of dates under one reading.

    Args:
        micro: whole microseconds since 1970 (UTC), null where a value is no date under this reading.
        nano: nanoseconds beyond them, 0 to 999.
        order: the order of day, month and year where it had to be decided.
    """

    micro: pl.Series
    nano: pl.Series
    order: Order | None = None

    @property
    def complete(self) -> bool:
        return self.micro.null_count() == 0


def date_readings(column: pl.Series, orders: Sequence[Order] | None = None) -> list[Moments]:
    """Returns every reading under which all values of a column are dates, or else the reading with the fewest failures.

    Args:
        column: text without nulls and without blanks around it.
        orders: of day, month and year; None: all that the way of writing allows.
    """
    parts = _parts(column)
    is_open = parts.select(
        open=pl.col("a").is_not_null() & (pl.col("a").str.len_chars() <= 2), short=pl.col("c").str.len_chars() <= 2
    )
    if not is_open["open"].any():
        return [Moments(*_since_1970(parts, "year_first"))]
    if orders is None:
        named = parts.filter(is_open["open"])["name"].is_not_null().all()
        short = bool((is_open["open"] & is_open["short"]).any())
        candidates = ["day_first", *([] if named else ["month_first"]), *(["year_first"] if short else [])]
        orders = cast(list[Order], candidates)
    if orders == ["day_first"]:  # a month by its name and a year of four digits: nothing to decide
        return [Moments(*_since_1970(parts, "day_first"))]
    readings = [Moments(*_since_1970(parts, order), order) for order in orders]
    whole = [reading for reading in readings if reading.complete]
    return whole or sorted(readings, key=lambda reading: reading.micro.null_count())[:1]


def _parts(column: pl.Series) -> pl.DataFrame:
    """The pieces of each date by name, from the first pattern that fits it; all null where none does."""
    frame = column.alias("text").to_frame()
    pieces: dict[str, pl.Expr] = {}
    for pattern in _PATTERNS:
        if not frame["text"].str.contains(pattern).any():
            continue
        groups = pl.col("text").str.extract_groups(pattern)
        for name in _FIELDS:
            if f"?<{name}>" in pattern:
                piece = groups.struct.field(name)
                pieces[name] = pl.coalesce(pieces[name], piece) if name in pieces else piece
    missing = [pl.lit(None, dtype=pl.String).alias(name) for name in _FIELDS if name not in pieces]
    return frame.with_columns(*(piece.alias(name) for name, piece in pieces.items()), *missing).select(_FIELDS)


def _since_1970(parts: pl.DataFrame, order: Order) -> tuple[pl.Series, pl.Series]:
    starts_with_year = pl.col("a").str.len_chars() > 2
    by_order = dict(zip(("year", "month", "day"), _PARTS[order], strict=True))
    by_year = dict(zip(("year", "month", "day"), _PARTS["year_first"], strict=True))
    number = {
        name: pl.coalesce(name, pl.when(starts_with_year).then(pl.col(by_year[name])).otherwise(pl.col(by_order[name])))
        for name in by_order
    }
    months = pl.DataFrame({"name": _MONTHS, "of_name": [f"{i + 1}" for i in range(12)]})
    parts = parts.with_columns(pl.col("name").str.to_lowercase().str.slice(0, 3)).join(
        months, on="name", how="left", maintain_order="left"
    )
    month = pl.when(pl.col("name").is_not_null()).then(pl.col("of_name")).otherwise(number["month"])
    year = number["year"].cast(pl.Int32)
    year = (
        pl.when(number["year"].str.len_chars() > 2).then(year).otherwise(year + pl.when(year < 69).then(2000).otherwise(1900))
    )
    date = pl.concat_str(
        year.cast(pl.String).str.zfill(4), month.str.zfill(2), number["day"].str.zfill(2), separator="-"
    ).str.to_date("%Y-%m-%d", strict=False)
    hour, minute, second = (pl.col(name).cast(pl.Int64).fill_null(0) for name in ("hour", "minute", "second"))
    half = pl.col("half").str.to_lowercase().str.head(1)
    on_clock = (
        pl.when(half.is_null())
        .then(hour)
        .when(hour.is_between(1, 12))
        .then(hour % 12 + pl.when(half == "p").then(12).otherwise(0))
    )
    is_time = (on_clock < 24) & (minute < 60) & (second <= 60)
    fraction = pl.col("fraction").str.slice(0, 9).str.pad_end(9, "0").cast(pl.Int64).fill_null(0)
    seconds = date.cast(pl.Int32).cast(pl.Int64) * 86_400 + on_clock * 3600 + minute * 60 + second - _offset() * 60
    micro = pl.when(is_time).then(seconds * 1_000_000 + fraction // 1000)
    columns = parts.select(micro.alias("micro"), (fraction % 1000).alias("nano"))
    return columns["micro"], columns["nano"]


def _offset() -> pl.Expr:
    """Minutes that the written time is ahead of UTC; null for an unknown zone."""
    zone = pl.col("zone").str.to_lowercase().str.replace(r"^(?:gmt|utc)([+-])", "${1}")
    digits = zone.str.replace_all(":", "").str.slice(1)
    minutes = digits.str.slice(0, 2).cast(pl.Int64, strict=False) * 60 + digits.str.slice(2).cast(
        pl.Int64, strict=False
    ).fill_null(0)
    signed = pl.when(zone.str.starts_with("-")).then(-minutes).otherwise(minutes)
    named = zone.replace_strict(_ZONES, default=None, return_dtype=pl.Int64)
    return pl.when(zone.is_null()).then(0).when(zone.str.contains(r"^[+-]")).then(signed).otherwise(named)
