"""Leave-one-out: each user's last event is the test target, the one before it the validation target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from genrec.data.lib.events import MIN_EVENTS
from genrec.errors import DataError
from genrec.types import USER_ID


@dataclass(frozen=True, kw_only=True)
class LeaveOneOut:
    """The split of most published sequential-recommendation tables.

    Args:
        short_users: what to do with users that have fewer than three events: ``error``, ``drop`` them, or ``train`` (all
            their events go to training and they have no targets).
    """

    short_users: Literal["error", "drop", "train"] = "error"

    def keep(self, users: pl.DataFrame) -> np.ndarray:
        """Marks the users that stay, bool [users]: all of them, or those with enough events.

        Raises:
            DataError: naming the first user that has too few, under ``error``.
        """
        short = (users["num_events"] < MIN_EVENTS).to_numpy()
        if short.any() and self.short_users == "error":
            fix = "set split.short_users=drop, or =train to only learn from them"
            if short.all():
                fix = "no user has enough: check that data.user_id names the users, and not orders or visits"
            first = users.row(int(short.argmax()), named=True)
            raise DataError(
                "split.short_users",
                expected=f"at least {MIN_EVENTS} events of every user",
                got=f"{first['num_events']} of user {first[USER_ID]!r} ({short.sum():,} such users)",
                fix=fix,
            )
        return ~short if self.short_users == "drop" else np.ones(len(short), bool)

    def split(self, offsets: np.ndarray, timestamps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Holds out the last two events of every user with at least three; other users have no targets."""
        ends = offsets[1:]
        enough = np.diff(offsets) >= MIN_EVENTS
        facts = {"rule": "leave_one_out", "short_users": self.short_users, "users_without_targets": int((~enough).sum())}
        return ends - 2 * enough, ends - enough, facts
