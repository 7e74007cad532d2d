"""Ids as text, single or listed in one field; values that are no ids, and ids that two tables write differently."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import polars as pl

from genrec.errors import DataError, excerpt

Ids = Literal["clean", "verbatim", "numbers", "lower_case"]
IDS: tuple[str, ...] = get_args(Ids)

_LIST = r"^[\[(].*[\])]$"
_LIST_SIGN = r"""^(?:[\[(]\s*(?:[\])]|["'\d-]|.*,)|\[.*\s)"""  # empty, quoted or numeric entries, or several
_IN_QUOTES = r"""^(?:".*"|'.*'|`.*`)$"""
_OBJECT = r"^\{.*[:,].*\}$"
_WHOLE = r"^-?\d+\.0+$"
_FRACTION = r"^[+-]?(?:\d+\.\d+|\d+(?:\.\d+)?[eE][+-]?\d+)$"
_CONTROL = r"[\x00-\x1f\x7f]"
_AROUND = " \t\r\n\u00a0\ufeff\u200b\u2060"


def text_ids(
    column: pl.Series,
    file: str,
    *,
    ids: str = "clean",
    name: str | None = None,
    allow_missing: bool = False,
    settings: bool = False,
) -> pl.Series:
    """Casts a column to ids as text.

    Args:
        column: text, integers, or numbers that are all whole (12.0 is the id ``12``).
        file: for messages.
        ids: ``clean``: without blanks around them, ``12.0`` as ``12``; ``verbatim``: text as it stands; ``numbers``: clean, and
            without zeros before them (``007`` as ``7``); ``lower_case``: clean, and in lower case.
        name: what the file calls the column, for messages.
        allow_missing: missing ids stay null.
        settings: whether keys of the configuration can be changed, so that messages name them.

    Raises:
        DataError: when they are lists, objects, true or false, dates, numbers with decimals, or missing; naming row and value.
    """
    name = name or column.name
    verbatim = ", or set data.ids=verbatim if {} are right as they stand" if settings else ""
    text = _as_text(column, file, name, ids, verbatim)
    missing = text.is_null()
    if missing.any() and not allow_missing:
        fix = "repair the rows" + (", or set filters.missing=drop to leave them out" if settings else "")
        raise _bad_value(column, missing, file, name, "an id", fix)
    if ids != "verbatim":
        _refuse_containers(text, column, file, name, verbatim)
    return text


def _as_text(column: pl.Series, file: str, name: str, ids: str, verbatim: str) -> pl.Series:
    dtype = column.dtype
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        text = column.cast(pl.String)
        return text.replace("", None) if ids == "verbatim" else _clean(text, column, file, name, ids, verbatim)
    if dtype == pl.Null or dtype.is_integer():
        return column.cast(pl.String)
    if dtype.is_float() or dtype.is_decimal():
        numbers = column.fill_nan(None) if dtype.is_float() else column
        decimals = (numbers != numbers.round(0)).fill_null(False)
        if dtype.is_float():
            decimals |= numbers.is_infinite().fill_null(False)
        if decimals.any():
            raise _bad_value(
                column, decimals, file, name, "ids as text or whole numbers", "cast the column to text or integers"
            )
        return numbers.cast(pl.Int128).cast(pl.String)
    if dtype == pl.Binary:
        try:
            text = column.cast(pl.String)
        except pl.exceptions.PolarsError as error:
            bad = pl.Series([value is not None and not _is_utf8(value) for value in column], dtype=pl.Boolean)
            raise _bad_value(column, bad, file, name, "ids as UTF-8 text", "write the ids as text") from error
        return _clean(text, column, file, name, ids, verbatim)
    raise DataError(
        f"{file}, column {name}",
        expected="ids as text or whole numbers",
        got=f"{_first_value(column)} ({dtype})",
        fix=_remedy(dtype),
    )


def _clean(text: pl.Series, column: pl.Series, file: str, name: str, ids: str, verbatim: str) -> pl.Series:
    text = text.str.strip_chars(_AROUND).replace("", None)
    decimals = text.str.contains(_FRACTION).fill_null(False)
    if decimals.any() and text.drop_nulls().str.contains(r"^[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$").all():
        odd = decimals & text.str.contains(_WHOLE).not_().fill_null(False)
        if odd.any():  # all are numbers, and some have decimals or were rounded by a spreadsheet
            fix = "write the ids as whole numbers or text" + verbatim.format("they")
            raise _bad_value(column, odd, file, name, "ids as text or whole numbers", fix)
    whole = text.str.contains(_WHOLE).fill_null(False)
    if whole.any():
        text = text.str.replace(r"^(-?\d+)\.0+$", "${1}")
    if ids == "numbers":
        text = text.str.replace(r"^(-?)0+(\d+)$", "${1}${2}")
    elif ids == "lower_case":
        text = text.str.to_lowercase()
    return text


def _refuse_containers(text: pl.Series, column: pl.Series, file: str, name: str, verbatim: str) -> None:
    if not len(text):
        return
    lists = (text.str.contains(_LIST) & text.str.contains(_LIST_SIGN)).fill_null(False)
    if lists.any():
        fix = "write a row for each user and item (in polars: table.explode)" + verbatim.format("such ids")
        raise _bad_value(column, lists, file, name, "one id in each row", fix, "a list ")
    objects = text.str.contains(_OBJECT).fill_null(False)
    if objects.any():
        fix = "write the id alone" + verbatim.format("such ids")
        raise _bad_value(column, objects, file, name, "one id in each row", fix, "an object ")
    control = text.str.contains(_CONTROL).fill_null(False)
    if control.any():
        raise _bad_value(column, control, file, name, "ids of one line, without control characters", "repair the rows")
    truths = text.drop_nulls()
    if len(truths) and truths.str.contains(_IN_QUOTES).all():
        fix = "take the quotation marks off" + verbatim.format("such ids")
        raise _bad_value(column, text.is_not_null(), file, name, "ids without quotation marks around them", fix)
    if len(truths) and truths.str.to_lowercase().is_in(["true", "false"]).all():
        fix = "name the column that holds ids" + verbatim.format("such ids")
        raise _bad_value(column, text.is_not_null(), file, name, "ids as text or whole numbers", fix)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _remedy(dtype: pl.DataType) -> str:
    if dtype in (pl.List, pl.Array):
        return "write a row for each user and item (in polars: table.explode)"
    if dtype == pl.Struct:
        return "write the id alone"
    return "name the column that holds ids, or cast it to text"


def _first_value(column: pl.Series) -> str:
    values = column.drop_nulls()
    if values.is_empty():
        return "no value"
    value = values[0]
    return excerpt(repr(value.to_list() if isinstance(value, pl.Series) else value)[:80]).strip("\"'")


def _bad_value(column: pl.Series, where: pl.Series, file: str, name: str, expected: str, fix: str, what: str = "") -> DataError:
    row = where.arg_max()
    assert row is not None
    value = column[row]
    got = f"{what}{excerpt(value) if isinstance(value, str) else repr(value)} ({where.sum():,} such rows)"
    return DataError(f"{file}, row {row + 1}, column {name}", expected=expected, got=got, fix=fix)


# Rule of `data.ids` -> the ids under that rule.
_RULES: Mapping[str, pl.Expr] = {
    "numbers": pl.col("id").str.replace(r"^(-?)0+(\d+)$", "${1}${2}"),
    "lower_case": pl.col("id").str.to_lowercase(),
}


def find_alike(unknown: pl.Series, there: pl.Series) -> tuple[str, str, str] | None:
    """Returns an unknown id, the id that is probably meant, and the setting that makes them equal; None without such a pair.

    Args:
        unknown: ids that the other table lacks.
        there: the other table's.
    """
    for rule, by_rule in _RULES.items():
        pairs = _pair_alike(unknown, there, by_rule)
        if pairs.height:
            return (*pairs.row(0), f"set data.ids={rule}")
    return None


def count_alike(unknown: pl.Series, there: pl.Series) -> dict[str, int]:
    """Counts the distinct unknown ids that each rule of ``data.ids`` would match."""
    return {rule: _pair_alike(unknown, there, by_rule).height for rule, by_rule in _RULES.items()}


def _pair_alike(unknown: pl.Series, there: pl.Series, by_rule: pl.Expr) -> pl.DataFrame:
    ours = unknown.drop_nulls().unique(maintain_order=True).alias("id").to_frame().with_columns(key=by_rule)
    theirs = there.drop_nulls().unique(maintain_order=True).alias("id").to_frame().with_columns(key=by_rule)
    theirs = theirs.filter(pl.col("key").is_unique()).rename({"id": "other"})
    return ours.join(theirs, on="key", how="inner", maintain_order="left").select("id", "other")


SEPARATORS = ("|", ",", ";", "\t", " ")
_NUMPY = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,'"\[\]]+)""")
_PUNCTUATION = "[](){}\"',;"
Rows = Sequence[Sequence[str] | None]


def is_bracketed(values: Sequence[str]) -> bool:
    """Whether all texts are lists in brackets."""
    return bool(values) and all(value.strip()[:1] + value.strip()[-1:] in ("[]", "()") for value in values)


def separator_of(values: Sequence[str], share: float = 0.5) -> str | None:
    """Returns the separator of ids: the first of ``SEPARATORS`` in more than ``share`` of these texts, or None."""
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
