"""Reads text, json lines, csv and parquet, plain or gzipped; whatever cannot be read is told by file, line and value."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import polars as pl

from genrec.errors import DataError, did_you_mean

CHUNK_BYTES = 64 << 20  # text is read in pieces of whole lines, so that a file larger than memory yields its few columns
SHOWN = 60  # characters of an offending line that an error repeats

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson", ".json")


def existing(path: Path | str, fix: str = "check the path") -> Path:
    """The path, once it is known to be a file that is not empty.

    Raises:
        DataError: when it is missing, a folder, or empty.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(path, expected="a file", got="nothing there", fix=fix)
    if path.is_dir():
        raise DataError(path, expected="a file", got="a folder", fix="give the file itself")
    if path.stat().st_size == 0:
        raise DataError(path, expected="data", got="an empty file (0 bytes)", fix="write or download it again")
    return path


def read_table(
    path: Path | str, *, columns: Sequence[str] | None = None, required: Sequence[str] = (), text: Sequence[str] = ()
) -> pl.DataFrame:
    """Reads a table by its suffix: parquet, csv, tsv or json lines (``.jsonl``, ``.ndjson``, ``.json``), each also ``.gz``.

    Args:
        path: the file.
        columns: read only these, as far as they exist and hold anything; csv and json values come as text, so that ids keep
            their zeros and a bad number can be shown as it stands. None: all columns, types inferred from the whole file.
        required: columns that must be there and hold something.
        text: columns that are text whatever they look like.

    Raises:
        DataError: when the file is missing, empty, of another format, damaged, or lacks rows or a required column.
    """
    path = existing(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    if kind == ".parquet" and suffixes[-1] == ".parquet":
        table = _read_parquet(path, columns)
    elif kind in _SEPARATORS:
        table = _read_csv(path, columns, text, _SEPARATORS[kind])
    elif kind in _JSON_LINES:
        table = _read_json_lines(path, columns, text)
    else:
        known = "a name ending in .parquet, .csv, .tsv or .jsonl (the last three also with .gz)"
        raise DataError(path, expected=known, got=path.name, fix="rename or convert the file")
    if table.height == 0 and table.columns:
        raise DataError(path, expected="at least one row", got="none (0 rows)", fix="check the file")
    filled = [name for name in table.columns if table[name].null_count() < table.height]
    if any(name not in filled for name in required):
        require_columns(required, _column_names(path, kind), str(path))
        hollow = next(name for name in required if name not in filled)
        raise DataError(f"{path}, column {hollow}", expected="values", got=f"None in all {table.height:,} rows", fix="fill it")
    return table if columns is None else table.select(filled)


def require_columns(names: Sequence[str], there: Sequence[str], file: str) -> None:
    """Raises DataError for the first of ``names`` that is not ``there``."""
    for name in names:
        if name not in there:
            got = f"columns {', '.join(there) or '(none)'}"
            raise DataError(file, expected=f"a column {name!r}", got=got, fix=did_you_mean(name, there))


def text_lines(path: Path | str, encoding: str = "utf-8") -> Iterator[tuple[int, list[str]]]:
    """Pieces of a text file: the number of the first line (1-based) and the lines, without their ends.

    Raises:
        DataError: when the file is missing, empty, a damaged gzip, or not in this encoding.
    """
    path = existing(path)
    for first, chunk in _chunks(path):
        try:
            lines = chunk.decode(encoding).replace("\r\n", "\n").split("\n")
        except UnicodeDecodeError as error:
            raise _not_text(path, first, chunk, error) from error
        yield first, lines[:-1] if lines[-1] == "" else lines


def records(path: Path | str, parse: Callable[[str], Any], what: str) -> Iterator[dict[str, Any]]:
    """One dict per non-empty line, read by ``parse`` (``json.loads``, ``ast.literal_eval``).

    Raises:
        DataError: naming the line that is not ``what``.
    """
    for first, lines in text_lines(path):
        for number, line in enumerate(lines, first):
            if line.strip():
                try:
                    record = parse(line)
                except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
                    raise _bad_line(path, number, line, what) from error
                if not isinstance(record, dict):
                    raise _bad_line(path, number, line, what)
                yield record


def _read_parquet(path: Path, columns: Sequence[str] | None) -> pl.DataFrame:
    try:
        if columns is not None:
            there = pl.read_parquet_schema(path)
            columns = [name for name in columns if name in there]
        return pl.read_parquet(path, columns=columns)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(path, expected="a parquet file", got=_first_line(error), fix="write or download it again") from error


def _read_csv(path: Path, columns: Sequence[str] | None, text: Sequence[str], separator: str) -> pl.DataFrame:
    try:
        header = pl.read_csv(path, separator=separator, n_rows=0, infer_schema=False).columns
        if columns is not None:
            wanted = [name for name in columns if name in header]
            return pl.read_csv(path, separator=separator, columns=wanted, infer_schema=False) if wanted else pl.DataFrame()
        overrides = {name: pl.String for name in text if name in header}
        return pl.read_csv(path, separator=separator, schema_overrides=overrides, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        for _ in text_lines(path):  # a truncated gzip or a wrong encoding is told by its line
            pass
        raise DataError(path, expected="a csv table", got=_first_line(error), fix="repair the file") from error


def _read_json_lines(path: Path, columns: Sequence[str] | None, text: Sequence[str]) -> pl.DataFrame:
    schema = None if columns is None else dict.fromkeys(columns, pl.String)
    overrides = None if columns is not None else dict.fromkeys(text, pl.String)
    tables = []
    for first, chunk in _chunks(path):
        if not chunk.strip():
            continue
        try:
            tables.append(
                pl.read_ndjson(io.BytesIO(chunk), schema=schema, schema_overrides=overrides, infer_schema_length=None)
            )
        except pl.exceptions.PolarsError as error:
            _check_json(path, first, chunk)
            raise DataError(path, expected="json lines", got=_first_line(error), fix="repair the file") from error
    if not tables:
        raise DataError(path, expected="at least one row", got="only empty lines", fix="check the file")
    return pl.concat(tables, how="diagonal_relaxed")


def _column_names(path: Path, kind: str) -> list[str]:
    """All columns (json lines: those of the first line), for a message."""
    if kind == ".parquet":
        return list(pl.read_parquet_schema(path))
    if kind in _SEPARATORS:
        return pl.read_csv(path, separator=_SEPARATORS[kind], n_rows=0, infer_schema=False).columns
    return list(next(records(path, json.loads, "a json object")))


def _check_json(path: Path, first: int, chunk: bytes) -> None:
    """Finds the line that polars could not read; polars itself does not say which."""

    def constant(name: str) -> None:
        raise ValueError(name)  # NaN and Infinity are Python's, not json's

    for number, line in enumerate(chunk.split(b"\n"), first):
        if line.strip():
            try:
                record = json.loads(line.decode("utf-8"), parse_constant=constant)
            except UnicodeDecodeError as error:
                raise _not_text(path, number, line, error) from error
            except ValueError as error:
                raise _bad_line(path, number, line.decode("utf-8", "replace"), "a json object") from error
            if not isinstance(record, dict):
                raise _bad_line(path, number, line.decode("utf-8", "replace"), "a json object")


def _chunks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Pieces of whole lines, decompressed, with the number of their first line."""
    number, rest = 1, b""
    with _opened(path) as file:
        while True:
            try:
                block = file.read(CHUNK_BYTES)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                last = number + rest.count(b"\n")
                raise DataError(
                    path, expected="a whole gzip file", got=f"{error} (after line {last})", fix="download or write it again"
                ) from error
            if not block:
                break
            whole, newline, tail = (rest + block).rpartition(b"\n")
            if newline:
                yield number, whole + newline
                number += whole.count(b"\n") + 1
            rest = tail
    if rest:
        yield number, rest


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def _not_text(path: Path, first: int, chunk: bytes, error: UnicodeDecodeError) -> DataError:
    line = first + chunk.count(b"\n", 0, error.start)
    got = f"byte 0x{chunk[error.start]:02x}"
    return DataError(f"{path}, line {line}", expected=f"{error.encoding} text", got=got, fix="convert the file to UTF-8")


def _bad_line(path: Path | str, number: int, line: str, what: str) -> DataError:
    shown = line.strip()
    shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
    return DataError(f"{path}, line {number}", expected=what, got=shown, fix="repair or remove the line")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
