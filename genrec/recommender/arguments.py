"""What a recommender is asked for, as Python hands it over: numbers, texts and mappings of any origin, or one line of error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from genrec.errors import ConfigError

_LARGEST = 2**63 - 1


def whole_number(where: str, value: Any, *, least: int = 1) -> int:
    """An integer, numpy's too.

    Raises:
        ConfigError: for anything else, and below ``least``.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or not least <= value <= _LARGEST:
        fix = f"give {int(value)}" if isinstance(value, float) and value.is_integer() else "give such a number"
        raise ConfigError(where, expected=f"a whole number, at least {least}", got=f"{value!r:.100}", fix=fix)
    return int(value)


def truth(where: str, value: Any) -> bool | None:
    """True, False or None.

    Raises:
        ConfigError: for anything else.
    """
    if value is not None and not isinstance(value, bool | np.bool_):
        raise ConfigError(where, expected="True, False or None", got=f"{value!r:.100}", fix="give one of them")
    return None if value is None else bool(value)


def filter_text(where: str, value: Any) -> str | None:
    """A filter, or None.

    Raises:
        ConfigError: for anything else.
    """
    if value is not None and not isinstance(value, str):
        fix = 'write it as text, such as \'brand in ["OPI", "Essie"]\' (docs/filters.md)'
        raise ConfigError(where, expected="a filter", got=f"{value!r:.100}", fix=fix)
    return value


def preferences(where: str, value: Any) -> dict[str, float]:
    """Filters, and what to add for what passes each; None: none.

    Raises:
        ConfigError: for anything else, and amounts that are not finite.
    """
    amounts: dict[str, float] = {}
    for text, amount in _pairs(where, value, "filters to numbers", "{'brand == \"OPI\"': 0.5}"):
        is_number = isinstance(amount, int | float | np.number) and not isinstance(amount, bool | np.bool_)
        try:
            amounts[text] = float(amount) if is_number else math.nan
        except OverflowError:  # an integer beyond all floats
            amounts[text] = math.inf
        if not math.isfinite(amounts[text]):
            fix = "give such a number; a filter forbids items"
            raise ConfigError(where, expected="a finite number for each filter", got=f"{amount!r:.100}", fix=fix)
    return amounts


def quotas(where: str, value: Any) -> dict[str, int]:
    """Columns, and how many items of one value; None: none.

    Raises:
        ConfigError: for anything else.
    """
    limits: dict[str, int] = {}
    for column, limit in _pairs(where, value, "columns to numbers", '{"brand": 2}'):
        is_whole = isinstance(limit, int | np.integer) and not isinstance(limit, bool | np.bool_)
        if not is_whole or limit < 1:
            fix = "forbid values with a filter" if is_whole else "give such a number"
            expected = "a whole number, at least 1, for each column"
            raise ConfigError(f"{where} {column}", expected=expected, got=f"{limit!r:.100}", fix=fix)
        limits[column] = min(int(limit), _LARGEST)
    return limits


def _pairs(where: str, value: Any, what: str, example: str) -> list[tuple[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, Mapping):
        raise ConfigError(where, expected=f"a mapping of {what}", got=f"{value!r:.100}", fix=f"write it as {example}")
    for key in value:
        if not isinstance(key, str):
            raise ConfigError(where, expected=f"a mapping of {what}", got=f"{key!r:.100}", fix=f"write it as {example}")
    return [*value.items()]
