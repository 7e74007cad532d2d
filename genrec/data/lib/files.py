"""Reads tables by their suffix: separated text (also RecBole's atomic files), json lines and parquet, plain or compressed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from genrec.data.lib.columns import infer_types
from genrec.data.lib.containers import read_folder, read_zip, refuse_foreign, zip_of
from genrec.data.lib.delimited import column_names, read_delimited
from genrec.data.lib.json_files import bad_line, histories_of, json_names, read_document, read_json_lines, table_of
from genrec.data.lib.text_lines import TextFormat, kind_of, require_file, text_lines
from genrec.errors import DataError, did_you_mean, excerpt, join_names
from genrec.types import ITEM_ID

__all__ = ["bad_line", "read_table", "records", "require_columns", "require_file", "text_lines"]

DELIMITED = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data", ".psv", ".log")
JSON_LINES = (".jsonl", ".ndjson", ".json")
FEATHER = (".feather", ".arrow", ".ipc")
MISSING = ("NA", "N/A", "n/a", "#N/A", "NULL", "Null", "null", "nan", "NaN", "NAN", "None", "<NA>", "NaT", "\\N")
ATOMIC = (".inter", ".item", ".user", ".kg", ".link", ".net")  # RecBole's atomic files, whose header gives each column's type
_READABLE = "a name ending in .parquet, .csv, .tsv, .txt, .dat or .jsonl (text also with .gz, .bz2 or .xz)"
_TYPED = re.compile(r"(.+):(token|token_seq|float|float_seq)")
_PROSE = re.compile(r"title|name|desc|text|abstract|review|summary|content|headline", re.IGNORECASE)


def read_table(
    path: Path | str,
    *,
    columns: Sequence[str] | None = None,
    required: Sequence[str] = (),
    text: Sequence[str] = (),
    form: TextFormat | None = None,
    missing: Sequence[str] = (),
    notes: list[tuple[str, int]] | None = None,
) -> pl.DataFrame:
    """Reads a table by its suffix: parquet, separated text (``.csv``, ``.tsv``, ``.txt``, ...) or json lines (``.jsonl``, ...).

    Args:
        path: the file; text also compressed.
        columns: read only these, as far as they exist and hold anything; csv and json values come as text, so that ids keep
            their zeros and a bad number can be shown as it stands. None: all columns, types inferred from the whole file.
        required: columns that must be there and hold something.
        text: columns that are text whatever they look like.
        form: how text is written; None: detected. With a separator, a file of any other suffix is read as separated text.
        missing: text that stands for a missing value.
        notes: gains what is worth a line of output about the reading, with counts.

    Raises:
        DataError: when the file is missing, empty, of another format, damaged, or lacks rows or a required column.
    """
    path, form = Path(path), form or TextFormat()
    again = partial(read_table, text=text, form=form, missing=missing, notes=notes)
    if path.is_dir():
        table = read_folder(path, is_table, lambda part, some: again(part, columns=some), columns)
        require_columns(required, table.columns, str(path))
        return table
    if archive := zip_of(path):
        unpacked: pl.DataFrame = read_zip(*archive, is_table, lambda file: again(file, columns=columns, required=required))
        return unpacked
    path = require_file(path)
    kind = kind_of(path)
    header: dict[str, tuple[str, str]] = {}
    if kind == ".parquet":
        table = _read_parquet(path, columns)
    elif kind in FEATHER:
        table = _read_feather(path, columns)
    elif kind in JSON_LINES and (document := read_document(path)) is not None:
        table = _document_table(path, document, columns, required)
    elif kind in JSON_LINES:
        table = read_json_lines(path, columns, text, form.encoding, form.settings)
    elif (kind in (*DELIMITED, *ATOMIC) or form.separator != "auto") and (header := typed_header(path, form)):
        table = read_atomic(path, form, header, columns, notes)
    elif kind in (*DELIMITED, *ATOMIC) or form.separator != "auto":
        table = read_delimited(path, form, columns, notes)
    else:
        refuse_foreign(path)
        fix = "rename or convert the file"
        if form.settings:
            fix += f", or set {form.settings}separator if it is separated text"
        raise DataError(path, expected=_READABLE, got=path.name, fix=fix)
    if table.height == 0 and table.columns:
        raise DataError(path, expected="at least one row", got="none (0 rows)", fix="check the file")
    if missing:
        strings = [name for name, dtype in table.schema.items() if dtype == pl.String]
        table = table.with_columns(pl.when(pl.col(name).is_in(list(missing)).not_()).then(pl.col(name)) for name in strings)
    if columns is None and not header and (kind in (*DELIMITED, *ATOMIC) or form.separator != "auto"):
        table = infer_types(table, text, form.decimal)
    filled = [name for name in table.columns if table[name].null_count() < table.height]
    if any(name not in filled for name in required):
        _require_filled(required, filled, table.height, path, kind, form)
    return table if columns is None else table.select(filled)


def is_delimited(path: Path, form: TextFormat) -> bool:
    """Whether a file is separated text, by its name or because the format names a separator."""
    return kind_of(path) in DELIMITED or (form.separator != "auto" and not is_table(path))


def is_table(path: Path) -> bool:
    """Whether a file is a table by its name."""
    return kind_of(path) in (".parquet", *FEATHER, *JSON_LINES, *DELIMITED, *ATOMIC)


def require_columns(names: Sequence[str], there: Sequence[str], file: str, remedy: str = "") -> None:
    """Raises DataError for the first of ``names`` that is not ``there``; ``remedy`` goes behind the nearest name."""
    for name in names:
        if name not in there:
            near = did_you_mean(name, there)
            fix = near if near.startswith("did") else "name the column"
            odd = [sign for sign in near if ord(sign) > 127] if near.startswith("did") and name.isascii() else []
            if odd:  # letters of another alphabet may look alike
                fix += f" It holds {odd[0]!r} (U+{ord(odd[0]):04X}); name the column, or rename it"
            raise DataError(file, expected=f"a column {name!r}", got=f"columns {join_names(there)}", fix=fix + remedy)


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
                    at = error.pos if isinstance(error, json.JSONDecodeError) else 0
                    raise bad_line(path, number, line, what, at=at) from error
                if not isinstance(record, dict):
                    raise bad_line(path, number, line, what)
                yield record


def _document_table(path: Path, document: Any, columns: Sequence[str] | None, required: Sequence[str]) -> pl.DataFrame:
    """The records of a file that is one json value; with ``columns`` their values come as text."""
    if len(required) > 1 and (histories := histories_of(document)) is not None:
        got = f"one object of {len(histories):,} lists (user -> items)"
        raise DataError(path, expected="a table of events", got=got, fix="read it with data=sequences")
    table = table_of(path, document, *required[:1])
    if columns is None:
        return table
    scalar = [name for name, dtype in table.schema.items() if not dtype.is_nested()]
    return table.with_columns(pl.col(scalar).cast(pl.String)).select(name for name in columns if name in table.columns)


def _read_feather(path: Path, columns: Sequence[str] | None) -> pl.DataFrame:
    try:
        with path.open("rb") as file:
            table = pl.read_ipc(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        got = excerpt((str(error).strip() or type(error).__name__).splitlines()[0])
        raise DataError(path, expected="a feather file (version 2)", got=got, fix="write it again as parquet") from error
    return table if columns is None else table.select(name for name in columns if name in table.columns)


def _read_parquet(path: Path, columns: Sequence[str] | None) -> pl.DataFrame:
    try:
        if columns is not None:
            there = pl.scan_parquet(path, glob=False).collect_schema()
            columns = [name for name in columns if name in there]
        return pl.read_parquet(path, columns=columns, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        got = excerpt((str(error).strip() or type(error).__name__).splitlines()[0])
        raise DataError(path, expected="a parquet file", got=got, fix="write or download it again") from error


def _require_filled(
    required: Sequence[str], filled: Sequence[str], height: int, path: Path, kind: str, form: TextFormat
) -> None:
    there = list(pl.scan_parquet(path, glob=False).collect_schema()) if kind == ".parquet" else []
    if kind in FEATHER:
        there = list(pl.read_ipc_schema(path))
    elif kind in JSON_LINES:
        document = read_document(path)
        there = json_names(path, form.encoding) if document is None else table_of(path, document, *required[:1]).columns
    elif not there:
        there = list(typed_header(path, form)) or column_names(path, form)
    remedy = ""
    if form.settings and kind in DELIMITED and form.header and form.names is None and any(_is_number(name) for name in there):
        header = "data.header=false and " if form.settings == "data." else ""
        remedy = f", or set {header}{form.settings}columns=[...] (all names, in their order) if the first line holds data"
    require_columns(required, there, str(path), remedy)
    hollow = next(name for name in required if name not in filled)
    raise DataError(f"{path}, column {hollow}", expected="values", got=f"None in all {height:,} rows", fix="fill it")


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def read_items(
    path: Path,
    key: str,
    *,
    form: TextFormat | None = None,
    missing: Sequence[str] = MISSING,
    notes: list[tuple[str, int]] | None = None,
) -> pl.DataFrame:
    """A table of items, its column ``key`` renamed to ``item_id`` and put first.

    Args:
        path: the file.
        key: the column of the items' ids.
        form: how text is written; None: found out.
        missing: text that stands for a missing value.
        notes: gains what is worth a line of output about the reading.

    Raises:
        DataError: when the file cannot be read, lacks ``key``, or has another column of that name.
    """
    items = read_table(path, required=[key], text=[key], form=form, missing=missing, notes=notes)
    if key != ITEM_ID and ITEM_ID in items.columns:
        got = f"both {key!r} and {ITEM_ID!r}"
        raise DataError(path, expected="one column of item ids", got=got, fix=f"drop or rename the column {ITEM_ID!r}")
    return items.rename({key: ITEM_ID}).select(ITEM_ID, pl.exclude(ITEM_ID))


def typed_header(path: Path, form: TextFormat) -> dict[str, tuple[str, str]]:
    """Returns plain name -> (name in the file, type) where every column of the header has a type; else an empty dict."""
    if not form.header or form.names is not None:
        return {}
    matches = [_TYPED.fullmatch(name) for name in column_names(path, form)]
    return {match[1]: (match[0], match[2]) for match in matches if match} if all(matches) else {}


def read_atomic(
    path: Path,
    form: TextFormat,
    header: dict[str, tuple[str, str]],
    columns: Sequence[str] | None,
    notes: list[tuple[str, int]] | None,
) -> pl.DataFrame:
    """Reads an atomic file of RecBole under plain column names.

    With ``columns``, all values are text; else tokens are text, floats are numbers and sequences are lists. A
    sequence of tokens with the name of prose (a title, a description) is text.
    """
    names = list(header) if columns is None else [name for name in columns if name in header]
    table = read_delimited(path, form, [header[name][0] for name in names], notes)
    table = table.rename({header[name][0]: name for name in names})
    if columns is not None:
        return table
    kinds = {name: header[name][1] for name in names}
    table = infer_types(table, [name for name, kind in kinds.items() if kind != "float"], form.decimal)
    lists = [name for name, kind in kinds.items() if kind.endswith("_seq") and not _PROSE.search(name)]
    return table.with_columns(pl.col(name).str.split(" ") for name in lists)
