"""Reads the events of all users from files. Parquet stays on disk; other tables are read whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genrec.data.lib.canonical import as_numbers
from genrec.data.lib.files import is_table, read_table, require_columns
from genrec.errors import DataError
from genrec.types import ITEM_ID, POSITION, TIMESTAMP, USER_ID

_OPTIONS = {USER_ID: "--user", ITEM_ID: "--item", POSITION: "--position", TIMESTAMP: "--timestamp"}
_ROW = "row of the file"


@dataclass(frozen=True, kw_only=True)
class HistoryColumns:
    """The names of the columns of a file of events.

    Args:
        user: of the user.
        item: of the item; a row without one names a user whose history may be empty.
        position: of the order; None: ``position``, where there is such a column.
        timestamp: of the time; None: ``timestamp``, where there is such a column.
        drop_missing: leave out rows without a user, position or time; otherwise they are refused.
    """

    user: str = USER_ID
    item: str = ITEM_ID
    position: str | None = None
    timestamp: str | None = None
    drop_missing: bool = False

    @property
    def names(self) -> dict[str, str]:
        """The names here -> the names in the file."""
        return {
            USER_ID: self.user,
            ITEM_ID: self.item,
            POSITION: self.position or POSITION,
            TIMESTAMP: self.timestamp or TIMESTAMP,
        }


def scan_histories(path: Path, columns: HistoryColumns) -> pl.LazyFrame:
    """Returns the events of a file, or of a folder of parts.

    Args:
        path: parquet, or what ``genrec init`` reads as a table: csv with any separator, tsv, json lines ...
        columns: what its columns are called.

    Raises:
        DataError: when it cannot be read, or lacks a column or a value that must be there.
    """
    if not path.exists():
        raise DataError(path, expected="a table of events, or a folder of parts", got="nothing there", fix="check the path")
    table = _parquet(path) if _is_parquet(path) else read_table(path, columns=list(columns.names.values())).lazy()
    columns_there = table.collect_schema().names()
    is_required = {USER_ID: True, ITEM_ID: True, POSITION: columns.position, TIMESTAMP: columns.timestamp}
    for name, column in columns.names.items():
        if is_required[name] and column not in columns_there:
            all_names = columns_there if _is_parquet(path) else read_table(path).columns
            require_columns([column], all_names, str(path), f" ({_OPTIONS[name]} COLUMN)")
    table = table.select(pl.col(column).alias(name) for name, column in columns.names.items() if column in columns_there)
    names = table.collect_schema().names()
    needed = [USER_ID, *[name for name in (POSITION, TIMESTAMP) if name in names][:1]]
    if columns.drop_missing:
        table = table.drop_nulls(needed)
    for name in needed:
        _refuse_missing(table, name, columns.names[name], path)
    if not _is_parquet(path) and TIMESTAMP in names:  # as a whole: a part may not show which way dates are written
        frame = table.collect()
        column = columns.names[TIMESTAMP]
        table = frame.with_columns(as_numbers(frame[TIMESTAMP], pl.Float64(), str(path), column)).lazy()
    return table


def _refuse_missing(table: pl.LazyFrame, name: str, column: str, path: Path) -> None:
    """Refuses the first row without a user, or without what gives the order of an item."""
    lacking = pl.col(name).is_null() if name == USER_ID else pl.col(name).is_null() & pl.col(ITEM_ID).is_not_null()
    rows = table.with_row_index(_ROW).filter(lacking).select(pl.col(_ROW).first(), pl.len().alias("count")).collect()
    if count := rows["count"][0]:
        got = "none" if count == 1 else f"none (and {count - 1:,} more such rows)"
        fix = "give --drop-missing to leave such rows out, or fill them"
        raise DataError(f"{path}, row {rows[_ROW][0] + 1}, column {column}", expected="a value in every row", got=got, fix=fix)


def _is_parquet(path: Path) -> bool:
    if path.is_dir():
        return any(path.glob("**/*.parquet")) or not any(is_table(part) for part in path.rglob("*"))
    return path.suffix == ".parquet" or not is_table(path)


def _parquet(path: Path) -> pl.LazyFrame:
    try:
        table = pl.scan_parquet(sorted(path.glob("**/*.parquet")) if path.is_dir() else path, glob=False)
        table.collect_schema()
    except (OSError, pl.exceptions.PolarsError) as error:
        got = str(error).splitlines()[0].removeprefix("parquet: ")
        raise DataError(path, expected="a parquet file", got=got, fix="write it again, or name it as what it is") from error
    return table
