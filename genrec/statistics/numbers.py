"""Arithmetic and formatting of figures that never fail, so that the figures of a diverged run can be shown too."""

from __future__ import annotations

import math
from collections.abc import Iterable

LARGEST = 1e300  # what is drawn is smaller: differences of two such numbers still are numbers


def ratio(value: float | None, whole: float | None) -> float:
    """``value / whole``; not a number where that means nothing.

    >>> ratio(1, 4), ratio(1, 0), ratio(None, 2)
    (0.25, nan, nan)
    """
    if value is None or whole is None or not whole:
        return math.nan
    return value / whole


def exponential(x: float | None) -> float:
    """``e ** x``, infinite where that is more than a float holds.

    >>> exponential(0), exponential(1e4), exponential(-1e4), exponential(None)
    (1.0, inf, 0.0, nan)
    """
    if x is None:
        return math.nan
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def can_be_drawn(value: float | None) -> bool:
    """Whether a value has a place on an axis.

    >>> [can_be_drawn(value) for value in (0, -2.5, None, math.nan, math.inf, 1e301)]
    [True, True, False, False, False, False]
    """
    return value is not None and abs(value) < LARGEST  # of nan, no comparison is true


def drawable(values: Iterable[float | None]) -> list[float]:
    """Returns the values that can be drawn on an axis."""
    return [value for value in values if value is not None and can_be_drawn(value)]


def written(value: float | None, form: str) -> str:
    """A figure in a format; what the format would blow up or cannot hold, in words.

    >>> [written(value, ".1%") for value in (0.25, None, math.nan, math.inf, -math.inf, 1e200)]
    ['25.0%', 'none', 'not a number', 'infinite', 'minus infinite', '1e+200']
    """
    if value is None:
        return "none"
    if value != value:
        return "not a number"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    return f"{value:.3g}" if abs(value) >= 1e9 and not isinstance(value, int) else format(value, form)
