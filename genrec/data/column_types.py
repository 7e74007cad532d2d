"""What the text of a column is: integers, numbers, true or false, or text."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

_GROUPED = r"^[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?$"  # 1.299,50


def inferred(table: pl.DataFrame, text: Sequence[str] = (), decimal: str = ".") -> pl.DataFrame:
    """The columns of a table of text in the types that all of their values have.

    Digits with a zero before them (postal codes, article numbers) stay text.

    Args:
        table: text, null where there is nothing.
        text: columns that stay text.
        decimal: the mark before decimals; ``,`` makes ``1.299,50`` a number.
    """
    return table.with_columns(
        typed(table[name], decimal) for name in table.columns if name not in text and table.schema[name] == pl.String
    )


def typed(column: pl.Series, decimal: str = ".") -> pl.Series:
    """One column of text in the type that all of its values have."""
    values = column.drop_nulls()
    if values.is_empty():
        return column
    if decimal == "," and values.str.contains(",", literal=True).any() and values.str.contains(_GROUPED).all():
        return with_point(column).cast(pl.Float64)
    head = values.head(1000)
    if head.str.contains(r"^[+-]?\d").all() or head.str.contains(r"^[+-]?\.?\d").all():
        if not values.str.contains(r"^[+-]?0\d").any():
            if values.str.contains(r"^[+-]?\d+$").all():
                integers = column.cast(pl.Int64, strict=False)
                return integers if integers.null_count() == column.null_count() else column
            numbers = column.cast(pl.Float64, strict=False)
            if numbers.null_count() == column.null_count():
                return numbers
    elif values.str.to_lowercase().is_in(["true", "false"]).all():
        return (column.str.to_lowercase() == "true").alias(column.name)
    return column


def with_point(column: pl.Series) -> pl.Series:
    """Numbers written with a decimal comma, written with a point; what is none stays as it is."""
    pointed = pl.col(column.name).str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
    is_number = pl.col(column.name).str.contains(_GROUPED)
    return (
        column.to_frame().select(pl.when(is_number).then(pointed).otherwise(pl.col(column.name)).alias(column.name)).to_series()
    )
