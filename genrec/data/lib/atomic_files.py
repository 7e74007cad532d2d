"""RecBole's atomic files: tab-separated text whose header gives each column's type, ``user_id:token``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from genrec.data.lib.columns import inferred
from genrec.data.lib.delimited import column_names, read_delimited
from genrec.data.lib.text_format import TextFormat

KINDS = (".inter", ".item", ".user", ".kg", ".link", ".net")
_TYPED = re.compile(r"(.+):(token|token_seq|float|float_seq)")
_PROSE = re.compile(r"title|name|desc|text|abstract|review|summary|content|headline", re.IGNORECASE)


def typed_header(path: Path, form: TextFormat) -> dict[str, tuple[str, str]]:
    """Plain name -> (name in the file, type), where every column of the header has a type; else empty."""
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
    """The table with plain names. With ``columns``, text; else tokens are text, floats numbers, sequences lists.

    A sequence of tokens whose name says that it is prose (a title, a description) is text.
    """
    names = list(header) if columns is None else [name for name in columns if name in header]
    table = read_delimited(path, form, [header[name][0] for name in names], notes)
    table = table.rename({header[name][0]: name for name in names})
    if columns is not None:
        return table
    kinds = {name: header[name][1] for name in names}
    table = inferred(table, [name for name, kind in kinds.items() if kind != "float"], form.decimal)
    lists = [name for name, kind in kinds.items() if kind.endswith("_seq") and not _PROSE.search(name)]
    return table.with_columns(pl.col(name).str.split(" ") for name in lists)
