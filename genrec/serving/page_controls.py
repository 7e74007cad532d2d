"""Controls of the page: what a person may want more or less of, as filters that preferences can name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import polars as pl

from genrec.core.item_labels import AUTO, BRAND, PART, category_column, category_parts
from genrec.recommender.bundle_layout import POPULARITY
from genrec.types import ITEM_ID

QUANTILES = (0.2, 0.5, 0.8, 0.95)  # where a slider's steps are: prices and popularities have long tails
MAX_RANGES, MAX_CHOICES, MAX_VALUES = 3, 3, 60  # 3 x 4 + 3 filters are within the default limit of preferences
MAX_TEXT = 40  # characters of a value that can be chosen
ENDS = {"price": ("cheaper", "dearer"), POPULARITY: ("less known", "popular")}
IMAGE = re.compile("image|img|imurl|picture|photo|thumbnail|cover", re.IGNORECASE)
_ADDRESS = re.compile("https?://|data:image/")
_PLAIN = re.compile(r"(?!(?:and|or|not|in|is|null|true|false)$)[^\W\d]\w*$")  # needs no backquotes in a filter


@dataclass(frozen=True)
class Range:
    """A column of numbers.

    Args:
        column: its name.
        low, high: what its ends are called.
        above: filters, each passed by what is at or above another quantile.
        below: by what is below; so an item without a value is never favoured.
    """

    column: str
    low: str
    high: str
    above: list[str]
    below: list[str]


@dataclass(frozen=True)
class Kind:
    """A column of categories, brands or the like.

    Args:
        column: its name.
        values: the most frequent ones and the filter that each one's items pass.
    """

    column: str
    values: list[tuple[str, str]]


def ranges(items: pl.DataFrame) -> list[Range]:
    """Returns the columns of numbers that distinguish items, price and popularity first, without row numbers."""
    numeric = [name for name, kind in items.schema.items() if kind.is_numeric() and _filter_name(name)]
    columns = []
    for name in sorted(numeric, key=lambda name: (*(name != preferred for preferred in ENDS), numeric.index(name))):
        values = items[name].drop_nulls()
        if values.dtype.is_float():
            values = values.filter(values.is_finite())
        if values.n_unique() < 5 or (values.dtype.is_integer() and values.n_unique() == len(values)):
            continue
        quantiles: Any = {values.quantile(share, "nearest") for share in QUANTILES}
        steps = sorted(map(float, quantiles - {values.min()}))
        low, high = ENDS.get(name, ("lower", "higher"))
        shown = [f"{step:g}" if step == float(f"{step:g}") else repr(step) for step in steps]
        above, below = ([f"{_filter_name(name)} {sign} {step}" for step in shown] for sign in (">=", "<"))
        columns.append(Range(name, low, high, above, below))
    return columns[:MAX_RANGES]


def choices(items: pl.DataFrame) -> list[Kind]:
    """Returns the columns whose values repeat, the category and the brand first."""
    category = category_column(items, AUTO)
    first = [name for name in (category, BRAND) if name in items.columns]
    kinds = [Kind(name, _values(items[name], name == category)) for name in dict.fromkeys([*first, *items.columns])]
    return [kind for kind in kinds if len(kind.values) > 1][:MAX_CHOICES]


def image_column(items: pl.DataFrame) -> str | None:
    """Returns the first column, by name, whose values look like addresses of images."""
    for name, kind in items.schema.items():
        if IMAGE.search(name) and kind in (pl.String, pl.List(pl.String)):
            values = items[name].explode() if kind == pl.List(pl.String) else items[name]
            seen = values.drop_nulls().head(100).to_list()
            if seen and all(_ADDRESS.match(value) for value in seen):
                return name
    return None


def _values(column: pl.Series, is_category: bool) -> list[tuple[str, str]]:
    """Returns the frequent values of a column in alphabetical order; none where they do not repeat."""
    name, kind = _filter_name(column.name), column.dtype
    if column.name == ITEM_ID or not name:
        return []
    if kind == pl.Boolean:
        return [("yes", f"{name} == true"), ("no", f"{name} == false")] if column.n_unique() > 1 else []
    if kind not in (pl.String, pl.Categorical, pl.Enum, pl.List(pl.String)):
        return []
    is_part = kind == pl.List(pl.String) or (is_category and kind == pl.String)
    values = category_parts(column)[PART] if is_part else column.cast(pl.String).drop_nulls()
    counts = values.alias("value").value_counts().filter(pl.col("value").str.len_chars().is_between(1, MAX_TEXT))
    frequent = (
        counts.filter(pl.col("count").is_between(2, len(column) - 1))
        .sort(["count", "value"], descending=[True, False])
        .head(MAX_VALUES)
    )
    if frequent["count"].sum() < len(values) * (0 if is_category or column.name == BRAND else 0.5):
        return []
    chosen = sorted(frequent["value"].to_list(), key=str.casefold)
    return [
        (value, f"{_string_literal(value)} in {name}" if is_part else f"{name} == {_string_literal(value)}") for value in chosen
    ]


def _filter_name(column: str) -> str:
    """Returns a column as filters name it; empty where they cannot."""
    return column if _PLAIN.match(column) else "" if "`" in column or not column else f"`{column}`"


def _string_literal(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
