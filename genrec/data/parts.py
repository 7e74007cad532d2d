"""Training, validation and test events that come in files of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from genrec.errors import DataError
from genrec.types import SPLIT

PARTS = ("train", "validation", "test")


def in_parts(
    train: Path, validation: Path | None, test: Path | None, read: Callable[[Path], pl.DataFrame]
) -> tuple[pl.DataFrame, str]:
    """One table of the files, with a column ``split`` where there is more than the first; and what messages call them.

    Raises:
        DataError: when a file cannot be read, or names parts itself beside the files.
    """
    files = [(part, file) for part, file in zip(PARTS, (train, validation, test), strict=True) if file is not None]
    tables = [read(file) for _, file in files]
    if len(files) == 1:
        return tables[0], str(train)
    for (_, file), table in zip(files, tables, strict=True):
        if SPLIT in table.columns:
            fix = "give one file, or rename the column"
            raise DataError(
                file, expected="no column of parts, because the files are parts", got=f"a column {SPLIT!r}", fix=fix
            )
    tables = [table.with_columns(pl.lit(part).alias(SPLIT)) for (part, _), table in zip(files, tables, strict=True)]
    return pl.concat(tables, how="diagonal_relaxed"), " + ".join(str(file) for _, file in files)
