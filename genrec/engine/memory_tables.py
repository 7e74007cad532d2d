"""Tables in memory as data: ``genrec.run(data=frame)`` writes them into the store, named by their content."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from genrec.errors import DataError

FOLDER = "tables"  # inside the store
INTERACTIONS = "interactions"


def tables_in(data: Any) -> dict[str, Any] | None:
    """Returns ``interactions``, and perhaps ``items``, if a setting contains tables; None otherwise."""
    tables = dict(data) if isinstance(data, Mapping) else {INTERACTIONS: data}
    return tables if any(map(_is_table, tables.values())) else None


def table_settings(tables: Mapping[str, Any], store: Path) -> dict[str, Any]:
    """Writes the tables and returns the settings that read them.

    Args:
        tables: the parameters of ``data=tables``; polars (lazy too), pandas and arrow tables among them.
        store: where they are written.

    Raises:
        DataError: for a table that polars cannot read, or one without columns.
    """
    files = {f"data.{key}": _write_table(key, value, store) if _is_table(value) else value for key, value in tables.items()}
    return {"data": "tables", **files}


def _is_table(value: Any) -> bool:
    if isinstance(value, type) or hasattr(value, "load"):  # a data source: some have a setting that is called columns
        return False
    return type(value).__name__ == "LazyFrame" or hasattr(value, "columns")  # of a lazy one asking for columns is work


def _write_table(key: str, table: Any, store: Path) -> Path:
    import polars as pl

    try:
        frame = table.collect() if isinstance(table, pl.LazyFrame) else pl.DataFrame(table)
        frame.write_parquet(buffer := io.BytesIO())
    except (TypeError, ValueError, AttributeError, ImportError, pl.exceptions.PolarsError) as error:
        got = f"{type(table).__name__}: {next(iter(str(error).splitlines()), '')}"
        fix = "write it to a parquet file, and give that"
        raise DataError(f"data.{key}", expected="a table that polars can read", got=got, fix=fix) from error
    if not frame.width:
        fix = "give its columns, such as user_id and item_id"
        raise DataError(f"data.{key}", expected="a table with columns", got=f"{type(table).__name__} of none", fix=fix)
    file = store.absolute() / FOLDER / f"{sha256(buffer.getvalue()).hexdigest()[:16]}.parquet"
    write_once(file, buffer.getvalue())
    return file


def write_once(file: Path, content: bytes) -> None:
    """Writes a file that is named by its content, unless it is there; no reader ever sees half of it."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_bytes(content)
        os.replace(draft, file)
