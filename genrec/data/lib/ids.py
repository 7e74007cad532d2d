"""Reads ids as text, refuses values that are no ids, and finds ids that two tables write differently (007 and 7, A1 and a1)."""

from __future__ import annotations

from collections.abc import Mapping
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
