"""Splits by a column of the data that names the part of every event, as published splits do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from genrec.data.lib.events import PARTS, ROW, Events, Removed, parts_by_column
from genrec.errors import DataError
from genrec.types import SPLIT, TIMESTAMP, USER_ID, USER_IDX


@dataclass(frozen=True, kw_only=True)
class ByColumn:
    """Assigns each event to the part that the data names.

    A user's events are ordered training, validation, test, whatever their times are; as in all splits, the history of the test
    contains the validation events. An event of an earlier part that is later in time than the user's first event of a later
    part would leak the future into training; ``later_events`` decides what happens to such events.

    Args:
        later_events: ``error``, ``drop`` them, or ``keep`` them (as in splits that were drawn at random).
        short_users: users without any held-out event: ``error``, ``drop`` them, or ``train`` on them.
    """

    later_events: Literal["error", "drop", "keep"] = "error"
    short_users: Literal["error", "drop", "train"] = "train"

    def keep(self, users: pl.DataFrame) -> np.ndarray:
        """Marks the users that stay, bool [users]: all of them, or those with held-out events (``num_held_out``).

        Raises:
            DataError: naming the first user without, under ``error``.
        """
        without = (users["num_held_out"] == 0).to_numpy()
        if without.any() and self.short_users == "error":
            first = users.row(int(without.argmax()), named=True)
            raise DataError(
                "split.short_users",
                expected="a validation or test event of every user",
                got=f"none of user {first[USER_ID]!r} ({without.sum():,} such users)",
                fix="set split.short_users=drop, or =train to only learn from them",
            )
        return ~without if self.short_users == "drop" else np.ones(len(without), bool)

    def parts(self, table: pl.DataFrame, file: str) -> pl.Series:
        """int8 [events]: 0 train, 1 validation, 2 test (see ``parts_by_column``)."""
        return parts_by_column(table, file)

    def ordered(self, events: Events, file: str) -> tuple[Events, list[Removed]]:
        """Sorts events by user, then part, then their former order; under ``drop``, late events are removed.

        Raises:
            DataError: see ``parts``; or for the first late event, under ``error``.
        """
        parts, removed = self.parts(events.table, file).to_numpy(), []
        times = events.table[TIMESTAMP] if TIMESTAMP in events.table.columns else None
        late = self.late_events(parts, events.user_idx, None if times is None or times.null_count() else times.to_numpy())
        if late.any() and self.later_events == "error":
            row = int(late.argmax())
            raise DataError(
                f"{file}, row {events.table[ROW][row] + 1}, column {TIMESTAMP}",
                expected=f"no {PARTS[parts[row]]} event after the user's first event of a later part",
                got=f"{times[row]:.17g} ({late.sum():,} such rows)" if times is not None else "",
                fix="set split.later_events=drop to leave them out, or =keep to train on them",
            )
        if late.any() and self.later_events == "drop":
            before, parts = events, parts[~late]
            events = events.where(~late)
            after = events.compact()
            gone = (before.users.height - after.users.height, before.items.height - after.items.height)
            removed = [Removed("split.later_events=drop", int(late.sum()), *gone)]
        table = events.table.with_columns(pl.Series(SPLIT, parts, dtype=pl.Int8))
        events = replace(events, table=table.sort(USER_IDX, SPLIT, maintain_order=True))
        return (events.compact() if removed else events), removed

    def late_events(self, parts: np.ndarray, users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
        """Marks the events that are later than their user's first event of a later part, bool [events]."""
        if times is None or not len(parts):
            return np.zeros(len(parts), bool)
        first = np.full((int(users.max()) + 1, len(PARTS) + 1), np.inf)
        np.minimum.at(first, (users, parts), times)
        later = np.minimum.accumulate(first[:, ::-1], axis=1)[
            :, ::-1
        ]  # [user, part]: the first time of this part or a later one
        return times > later[users, parts + 1]

    def split_parts(self, offsets: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Cuts every user's events, which are in the order of their parts (int8 [events])."""
        counts = np.concatenate([np.zeros((1, 2), np.int64), np.cumsum(parts[:, None] < np.array([1, 2]), axis=0)])
        ends = offsets[:-1, None] + counts[offsets[1:]] - counts[offsets[:-1]]
        facts = {
            "rule": "column",
            "later_events": self.later_events,
            "short_users": self.short_users,
            "users_without_test": int((ends[:, 1] == offsets[1:]).sum()),
            "users_new_in_test": int(((ends[:, 1] == offsets[:-1]) & (ends[:, 1] < offsets[1:])).sum()),
        }
        return ends[:, 0], ends[:, 1], facts
