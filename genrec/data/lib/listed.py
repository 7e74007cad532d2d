"""Reads lists that are written in one field: ``[1, 2]``, ``['a' 'b']``, ``a b c``, ``a|b|c``, ``[{"id": 1}]`` ..."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Sequence

import polars as pl

from genrec.errors import DataError, excerpt

SEPARATORS = ("|", ",", ";", "\t", " ")
_NUMPY = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,'"\[\]]+)""")
_PUNCTUATION = "[](){}\"',;"
Rows = Sequence[Sequence[str] | None]


def is_bracketed(values: Sequence[str]) -> bool:
    """Whether all texts are lists in brackets."""
    return bool(values) and all(value.strip()[:1] + value.strip()[-1:] in ("[]", "()") for value in values)


def separator_of(values: Sequence[str], share: float = 0.5) -> str | None:
    """What separates ids in these texts: the first of ``SEPARATORS`` that more than ``share`` of them hold, or None."""
    return next((sign for sign in SEPARATORS if sum(sign in value.strip() for value in values) > share * len(values)), None)


def are_ids(parts: Sequence[str]) -> bool:
    """Whether words look like ids rather than prose: nearly all of them hold a digit."""
    return bool(parts) and sum(any(sign.isdigit() for sign in part) for part in parts) > 0.9 * len(parts)


def holds_histories(items: pl.Series, users: pl.Series) -> bool:
    """Whether the ids of a table are whole histories: one row a user, several ids each, which come back in other rows."""
    if items.dtype != pl.String or not users.is_first_distinct().all():
        return False
    sample = items.drop_nulls().head(1000).to_list()
    sign = separator_of(sample) if len(sample) > 1 else None
    if sign is None:
        return False
    parts = [part for text in sample for part in text.split(None if sign == " " else sign)]
    return are_ids(parts) and 2 * len(set(parts)) < len(parts) and len(parts) > 2 * len(sample)


def lists_in(column: pl.Series, file: str, separator: str | None = None) -> pl.Series:
    """Returns a column of lists of text, from lists of ids or from text that holds lists; empty fields become empty lists.

    Args:
        column: lists, or text: json and Python lists, numpy's print of an array, or ids with one separator between them.
        file: name of the file in messages.
        separator: between the ids of plain text; None: detected.

    Raises:
        DataError: naming the row: a field that is no such list, or an id that carries punctuation of the file.
    """
    if isinstance(column.dtype, pl.List | pl.Array):
        inner = column.dtype.inner
        if isinstance(inner, pl.Struct | pl.List) or inner.is_float():
            got = f"{excerpt(repr(column.drop_nulls().first()))} ({column.dtype})"
            fix = "give the ids alone" if not isinstance(inner, pl.Struct) else "read it with data=nested"
            raise DataError(f"{file}, column {column.name}", expected="lists of ids", got=got, fix=fix)
        return column.cast(pl.List(pl.String)).fill_null([])
    if column.dtype != pl.String:
        got = f"{column.drop_nulls().first()!r} ({column.dtype})"
        raise DataError(f"{file}, column {column.name}", expected="lists of ids", got=got, fix="name the column of the lists")
    filled = column.drop_nulls().str.strip_chars()
    filled = filled.filter(filled != "")
    sample = filled.head(1000).to_list()
    cut: Callable[[str], list[str] | None]
    if is_bracketed(sample):
        cut = split_bracketed
    else:
        sign = separator or separator_of(sample) or separator_of(sample, 0.0)  # many lists may hold one id only

        def cut(text: str) -> list[str] | None:
            parts = text.split() if sign in (None, " ") else [part.strip() for part in text.split(sign)]
            return None if any(part[:1] in _PUNCTUATION or part[-1:] in _PUNCTUATION for part in parts) else parts

    rows = []
    for row, text in enumerate(column):
        parts = cut(text.strip()) if text is not None and text.strip() else []
        if parts is None or "" in parts:
            where = f"{file}, row {row + 1}, column {column.name}"
            fix = "write lists as [1, 2], or ids with one separator between them"
            raise DataError(where, expected="a list of ids", got=excerpt(text), fix=fix)
        rows.append(parts)
    return pl.Series(column.name, rows, dtype=pl.List(pl.String))


def split_bracketed(text: str) -> list[str] | None:
    """Returns the ids of a list printed by json, Python or numpy, or None where the text is no such list."""
    inner = text.strip()[1:-1].strip()
    if not inner:
        return []
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(f"[{inner}]")
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if _has_joined_strings(inner):
            break  # 'a' 'b' is 'ab' for Python
        if all(isinstance(part, str | int) and not isinstance(part, bool) for part in value):
            return [str(part) for part in value]
        return None
    words = _NUMPY.findall(inner)
    rest = _NUMPY.sub("", inner).replace(",", "").strip()
    return None if rest or "..." in inner.split() else [first or second or bare for first, second, bare in words]


def _has_joined_strings(inner: str) -> bool:
    return re.search(r"""['"]\s+['"]""", inner) is not None
