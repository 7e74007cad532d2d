"""One text per item from the catalogue's columns, for every encoder that reads text."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from genrec.errors import ConfigError, DataError

COLUMNS = ("title", "brand", "categories", "description")  # most telling first: encoders cut long texts at the end
SEPARATOR = ". "


def usable_columns(items: pl.DataFrame, columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits the wanted columns into those with any value and those without (absent, or empty in every row).

    Raises:
        ConfigError: when nothing usable is left.
    """
    usable = [name for name in columns if name in items.columns and items[name].null_count() < items.height]
    if not usable:
        raise ConfigError(
            "encoder.columns",
            expected=f"at least one text column of the items, which have {', '.join(items.columns)}",
            got=list(columns),
            fix="name columns of your item table in encoder.columns, or use an encoder that needs no text",
        )
    return usable, [name for name in columns if name not in usable]


def item_texts(items: pl.DataFrame, columns: Sequence[str]) -> list[str]:
    """The values of ``columns``, joined in that order; lists are joined with spaces, nulls left out.

    Raises:
        DataError: when a column is absent (new items need the columns that the encoder was fitted on).
    """
    absent = [name for name in columns if name not in items.columns]
    if absent:
        raise DataError(
            "items",
            expected=f"columns {', '.join(columns)}, which the encoder was fitted on",
            got=f"no column {', '.join(absent)}",
            fix="add the column (null where unknown)",
        )
    parts = [_as_text(items.schema[name], pl.col(name)) for name in columns]
    joined = pl.concat_str(parts, separator=SEPARATOR, ignore_nulls=True).fill_null("")
    return items.select(joined.str.strip_chars().alias("text"))["text"].to_list()


def _as_text(dtype: pl.DataType, column: pl.Expr) -> pl.Expr:
    text = column.cast(pl.List(pl.String)).list.join(" ") if isinstance(dtype, pl.List | pl.Array) else column.cast(pl.String)
    text = text.str.strip_chars()
    return pl.when(text == "").then(None).otherwise(text)
