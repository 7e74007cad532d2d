"""A column that names the part of every event."""

from __future__ import annotations

import polars as pl

from genrec.data.lib.canonical import ROW
from genrec.data.lib.parts import PARTS, WORDS
from genrec.errors import DataError
from genrec.types import SPLIT

_PART_OF = {word: PARTS.index(part) for part, words in WORDS.items() for word in words}


def parts_by_column(table: pl.DataFrame, file: str) -> pl.Series:
    """int8 [events]: 0 train, 1 validation, 2 test.

    Args:
        table: events with a column ``split``.
        file: what messages call it.

    Raises:
        DataError: when there is no such column, or a value of it is no name of a part.
    """
    if SPLIT not in table.columns:
        raise DataError(
            file,
            expected="a column that names the part of every event, for split=column",
            got="none",
            fix="name it with data.split=COLUMN, or give the parts as files: data.validation=FILE data.test=FILE",
        )
    names = table[SPLIT].cast(pl.String).str.strip_chars().str.to_lowercase()
    parts = names.replace_strict(_PART_OF, default=None, return_dtype=pl.Int8)
    if parts.null_count():
        row = int(parts.is_null().arg_max() or 0)
        raise DataError(
            f"{file}, row {(table[ROW][row] if ROW in table.columns else row) + 1}, column {SPLIT}",
            expected="train, validation (val, valid, dev) or test",
            got=f"{table[SPLIT][row]!r} ({parts.null_count():,} such rows)",
            fix="write one of these words in every row",
        )
    return parts
