"""Reads which part of a split (training, validation, test) each event belongs to: from separate files, or from a column."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from genrec.data.lib.events import ROW
from genrec.engine.overrides import setting, shell_line
from genrec.errors import DataError
from genrec.types import SPLIT

PARTS = ("train", "validation", "test")
WORDS = {
    "train": ("train", "training", "tr"),
    "validation": ("validation", "valid", "val", "dev", "eval"),
    "test": ("test", "testing", "te"),
}
_PART_OF_WORD = {word: PARTS.index(part) for part, words in WORDS.items() for word in words}
_KEYS = dict(zip(PARTS, ("data.interactions", "data.validation", "data.test"), strict=True))


def read_parts(
    train: Path, validation: Path | None, test: Path | None, read: Callable[[Path], pl.DataFrame]
) -> tuple[pl.DataFrame, str]:
    """Reads the files as one table, with a column ``split`` where there are several; returns it with a name for messages.

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


def names_parts(column: pl.Series) -> bool:
    """Whether the values of a column are the names of parts, ``train`` and another one."""
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return False
    values = column.drop_nulls().unique().cast(pl.String)
    return len(values) <= 10 and _are_parts([_part_of([value.strip().lower()]) for value in values])


def refuse_parts(folder: Path, files: Sequence[Path]) -> None:
    """Refuses a folder whose files are named after the parts of a split, since one table of them would mix the parts.

    Raises:
        DataError: with the settings that read them.
    """
    parts = [_part_of(re.findall(r"[a-z]+", file.name.lower())) for file in files]
    if not _are_parts(parts):
        return
    fix = "give each part with a setting of its own: data.interactions, data.validation, data.test, and split=column"
    if len(set(parts)) == len(parts):
        of_part = dict(zip(parts, files, strict=True))
        keys = [setting(_KEYS[part], str(of_part[part])) for part in PARTS if part in of_part]
        fix = f"set {shell_line([*keys, 'split=column'])}"
    got = f"the parts of a split: {', '.join(file.name for file in files[:5])}"
    raise DataError(folder, expected="the files of one table", got=got, fix=fix)


def _part_of(words: Sequence[str]) -> str | None:
    """Returns the part that the words name; None where they name no part or several."""
    parts = [part for part in PARTS if set(words) & set(WORDS[part])]
    return parts[0] if len(parts) == 1 else None


def _are_parts(parts: Sequence[str | None]) -> bool:
    return None not in parts and PARTS[0] in parts and len(set(parts)) > 1


def parts_by_column(table: pl.DataFrame, file: str) -> pl.Series:
    """Returns the part of every event, int8 [events]: 0 train, 1 validation, 2 test.

    Args:
        table: events with a column ``split``.
        file: name of the file in messages.

    Raises:
        DataError: when there is no such column, or one of its values names no part.
    """
    if SPLIT not in table.columns:
        raise DataError(
            file,
            expected="a column that names the part of every event, for split=column",
            got="none",
            fix="name it with data.split=COLUMN, or give the parts as files: data.validation=FILE data.test=FILE",
        )
    names = table[SPLIT].cast(pl.String).str.strip_chars().str.to_lowercase()
    parts = names.replace_strict(_PART_OF_WORD, default=None, return_dtype=pl.Int8)
    if parts.null_count():
        row = int(parts.is_null().arg_max() or 0)
        raise DataError(
            f"{file}, row {(table[ROW][row] if ROW in table.columns else row) + 1}, column {SPLIT}",
            expected="train, validation (val, valid, dev) or test",
            got=f"{table[SPLIT][row]!r} ({parts.null_count():,} such rows)",
            fix="write one of these words in every row",
        )
    return parts
