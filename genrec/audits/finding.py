"""What a check found, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Grade = Literal["fine", "mind this", "serious", "not tested"]
GRADES: tuple[Grade, ...] = ("fine", "mind this", "serious", "not tested")


@dataclass(frozen=True)
class Finding:
    """One check's result.

    Args:
        key: of the check.
        title: of its card.
        grade: how much it matters to whoever reads a score.
        figure: the one number, as text.
        label: what the number is.
        found: the figures in a sentence or two.
        means: what follows for a score on this data.
        advice: what to do about it, with the setting that does it; empty where there is nothing to do.
        short: a clause for the verdict; empty where it needs no saying.
        shows: what a score can show because this is fine; empty otherwise.
        hides: what a score cannot show because this is not fine; empty otherwise.
    """

    key: str
    title: str
    grade: Grade
    figure: str
    label: str
    found: str
    means: str
    advice: str
    short: str = ""
    shows: str = ""
    hides: str = ""


def graded(value: float, thresholds: tuple[float, float]) -> Grade:
    """``thresholds``: from which value on to mind it, and from which on it is serious.

    Examples:
        >>> [graded(value, (0.1, 0.3)) for value in (0.09, 0.1, 0.3)]
        ['fine', 'mind this', 'serious']
    """
    mind, serious = thresholds
    return "serious" if value >= serious else "mind this" if value >= mind else "fine"
