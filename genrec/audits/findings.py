"""The result of one check in words, and the thresholds from which it is a warning or serious.

The thresholds are judgement; all of them are in this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Grade = Literal["fine", "warning", "serious", "not tested"]
GRADES: tuple[Grade, ...] = ("fine", "warning", "serious", "not tested")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Args:
        key: name of the check.
        title: title of its card.
        grade: how much the check matters to a reader of a score.
        figure: the one number, as text.
        label: what the number is.
        observed: the figures, in sentences.
        means: what follows for a score on this data.
        advice: what to do about it, with the setting that does it; empty where there is nothing to do.
        short: a clause for the verdict; empty unless the finding is serious.
        shows: what a score can show because this is fine; empty otherwise.
        hides: what a score cannot show because this is not fine; empty otherwise.
    """

    key: str
    title: str
    grade: Grade
    figure: str
    label: str
    observed: str
    means: str
    advice: str
    short: str = ""
    shows: str = ""
    hides: str = ""


def graded(value: float, thresholds: tuple[float, float]) -> Grade:
    """Grades a value by two thresholds: from the first on it is a warning, from the second on it is serious.

    Examples:
        >>> [graded(value, (0.1, 0.3)) for value in (0.09, 0.1, 0.3)]
        ['fine', 'warning', 'serious']
    """
    warning, serious = thresholds
    return "serious" if value >= serious else "warning" if value >= warning else "fine"


# (warning, serious)
HALF_WIDTH: Final = (0.08, 0.20)  # 95 % half-width of the best baseline's Recall@10, as a share of it
UNSEEN_TARGETS: Final = (0.05, 0.20)  # share of test targets whose item never occurs in training
ONE_HOP: Final = (0.15, 0.40)  # share of test targets one hop from the last item, beyond chance
NEAR_CONTENT: Final = (0.15, 0.40)  # share of test targets among the 100 nearest by content, beyond chance
TIED_RISE: Final = (0.03, 0.10)  # |ascending share - .5| of pairs, beyond chance
TIED_TARGETS: Final = (0.01, 0.05)  # share of test targets that tie with the event before them
CHANGED_TARGETS: Final = (0.03, 0.15)  # share of test targets that are another item when ties are shuffled
BULK: Final = (0.25, 0.60)  # share of consecutive events that are at most a minute apart
TIME_REVERSED: Final = (0.001, 0.01)  # share of consecutive events whose time goes back
FUTURE: Final = (0.05, 1.01)  # mean share of the training part that is later than a test target; never serious alone
OWN_FUTURE: Final = (0.001, 0.01)  # share of test targets earlier than a training event of the same user
NEXT_NUMBERS: Final = (0.03, 0.10)  # share of test targets among the next 10 ids, beyond that of the 10 before
FIRST_APPEARANCE: Final = 0.95  # rank correlation of ids and first appearance from which on ids were given out in that order
LEAKED_TARGETS: Final = (0.0005, 0.01)  # share of test targets recorded in the history with the same time
REPEATED_TARGETS: Final = (0.01, 1.01)  # share of test targets that are in the history; never serious alone
DOUBLE_EVENTS: Final = (0.005, 0.05)  # share of events recorded twice
DUPLICATE_USERS: Final = (0.01, 0.05)  # share of users whose whole sequence is another user's too
TWIN_TARGETS: Final = (0.05, 0.20)  # share of test targets with a near-duplicate in the catalogue

LONG_HISTORY_GAIN: Final = 0.05  # relative gain of the whole history over its last two items that counts as one
STANDARD_ERRORS: Final = 4.0  # how far from .5 an ascending share must lie to be no accident; many shares are looked at
