"""Temporal split: two cut-offs in time, the same for all users."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import polars as pl

from genrec.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class Temporal:
    """Events before ``validation_from`` train, those from there on validate, those from ``test_from`` on test.

    No user or item is removed: those that are new after a cut keep their events (a new user is predicted from an empty history)
    and are counted. The history of a target does not contain the user's earlier targets of the same part.

    Args:
        validation_from: the first cut: a share in (0, 1) of all events, or a time in the data's unit, or an ISO date (UTC).
        test_from: the second cut, later than the first.
        cuts: whether numbers are shares (``quantile``) or times (``time``).
    """

    validation_from: float | str = 0.8
    test_from: float | str = 0.9
    cuts: Literal["quantile", "time"] = "quantile"

    def __post_init__(self) -> None:
        for name, cut in (("validation_from", self.validation_from), ("test_from", self.test_from)):
            if self.cuts == "time":
                _seconds(name, cut)
            elif isinstance(cut, str) or not 0 < cut < 1:
                raise ConfigError(
                    f"split.{name}", expected="a share in (0, 1)", got=cut, fix="give such a share, or set split.cuts=time"
                )

    def keep(self, users: pl.DataFrame) -> np.ndarray:
        """Marks the users that stay, bool [users]: all of them."""
        return np.ones(users.height, bool)

    def split(self, offsets: np.ndarray, timestamps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Cuts every user's events at the two times.

        Raises:
            DataError: without times, with times that go backwards within a user, or when a part would be empty.
        """
        if timestamps is None:
            raise DataError(
                "split", expected="a time for every event", got="data without (complete) times", fix="use split=leave_one_out"
            )
        inner = np.ones(len(timestamps), bool)
        inner[offsets[:-1][np.diff(offsets) > 0]] = False
        backwards = np.flatnonzero(inner[1:] & (np.diff(timestamps) < 0))
        if len(backwards):
            at = int(backwards[0])
            got = f"{timestamps[at]:.17g} before {timestamps[at + 1]:.17g} ({len(backwards):,} such places)"
            raise DataError("split", expected="times in order within each user", got=got, fix="set order.by=timestamp")
        if self.cuts == "time":
            first, second = _seconds("validation_from", self.validation_from), _seconds("test_from", self.test_from)
        else:
            first, second = (float(np.quantile(timestamps, cut, method="higher")) for cut in self._shares())
        train_ends, validation_ends = _ends(offsets, timestamps < first), _ends(offsets, timestamps < second)
        sizes = {
            "training": int((train_ends - offsets[:-1]).sum()),
            "validation": int((validation_ends - train_ends).sum()),
            "test": int((offsets[1:] - validation_ends).sum()),
        }
        for part, size in sizes.items():
            if size <= 0:
                fix = "move split.validation_from or split.test_from"
                got = f"cuts at {first:.17g} and {second:.17g}, times from {timestamps.min():.17g} to {timestamps.max():.17g}"
                raise DataError("split", expected=f"events in the {part} part", got=got, fix=fix)
        new = {
            "users_new_in_validation": int(((train_ends == offsets[:-1]) & (validation_ends > train_ends)).sum()),
            "users_new_in_test": int(((validation_ends == offsets[:-1]) & (offsets[1:] > validation_ends)).sum()),
        }
        return train_ends, validation_ends, {"rule": "temporal", "validation_from": first, "test_from": second} | new

    def _shares(self) -> tuple[float, float]:
        return float(self.validation_from), float(self.test_from)


def _ends(offsets: np.ndarray, before: np.ndarray) -> np.ndarray:
    """int64 [users]: offset plus number of events that are ``before`` (a prefix of each user's events)."""
    counts = np.concatenate([[0], np.cumsum(before)])
    return offsets[:-1] + counts[offsets[1:]] - counts[offsets[:-1]]


def _seconds(name: str, cut: float | str) -> float:
    if not isinstance(cut, str):
        return float(cut)
    try:
        moment = datetime.fromisoformat(cut)
    except ValueError as error:
        fix = "write e.g. 2014-01-31"
        raise ConfigError(f"split.{name}", expected="a time or an ISO date", got=cut, fix=fix) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
