"""Sorts each user's events, with an explicit rule for events of equal time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from genrec.data.lib.events import EXACT_TIME, ROW, Events
from genrec.errors import DataError
from genrec.types import ITEM_ID, ITEM_IDX, POSITION, TIMESTAMP, USER_IDX

TIE = "tie"


@dataclass(frozen=True, kw_only=True)
class Order:
    """The order of events within a user.

    Where times are given by day, many events are tied, and their order decides which item is the "last" one: in the common
    preprocessing of Amazon-2014, ties are in ascending item id, which a model can exploit (docs/lab.md). Therefore the rule is
    explicit, stored and reported.

    Args:
        by: ``timestamp``, ``position`` or ``input_order``; ``auto`` takes the first of them that the data has, and a
            position only where times are missing. Events of equal time are ordered by position where there is one.
        ties: how events of one user with equal keys are ordered: ``input_order`` (as in the file), ``item_id`` (ascending
            text) or ``random``.
        seed: of the ``random`` rule.
    """

    by: Literal["auto", "position", "timestamp", "input_order"] = "auto"
    ties: Literal["input_order", "item_id", "random"] = "input_order"
    seed: int = 0

    def key(self, table: pl.DataFrame) -> str | None:
        """Returns the column to order by, or None for input order.

        Raises:
            DataError: when the data has no such column.
        """
        if self.by == "auto":
            there = [name for name in (TIMESTAMP, POSITION) if name in table.columns]
            complete = [name for name in there if not table[name].null_count()]
            return next(iter(complete or there), None)
        if self.by == "input_order":
            return None
        if self.by not in table.columns:
            there = [name for name in (POSITION, TIMESTAMP) if name in table.columns]
            got = f"interactions with {there[0]} only" if there else "interactions without times or positions"
            raise DataError("order.by", expected=f"data with a column for {self.by!r}", got=got, fix="set order.by=auto")
        return self.by

    def sort(self, events: Events, file: str = "interactions") -> Events:
        """Sorts events by user, then by key, then by the tie rule.

        Raises:
            DataError: when an event has no key.
        """
        key = self.key(events.table)
        if key is None:
            return replace(events, table=events.table.sort(USER_IDX, ROW))
        self._require_no_gaps(events.table[key], events.table[ROW], file)
        table = events.table
        if self.ties == "item_id":
            rank = events.items[ITEM_ID].rank("ordinal").to_numpy()
            table = table.with_columns(pl.Series(TIE, rank[table[ITEM_IDX].to_numpy()]))
        elif self.ties == "random":
            table = table.with_columns(pl.Series(TIE, np.random.default_rng(self.seed).permutation(table.height)))
        tie = [ROW] if self.ties == "input_order" else [TIE, ROW]
        keys = [EXACT_TIME if key == TIMESTAMP and EXACT_TIME in table.columns else key]
        if key == TIMESTAMP and POSITION in table.columns and not table[POSITION].null_count():
            keys.append(POSITION)
        return replace(events, table=table.sort(USER_IDX, *keys, *tie).drop(TIE, strict=False))

    def describe(self, table: pl.DataFrame) -> dict[str, str | int]:
        """Reports what orders the events, the tie rule, and how many of these (sorted) events are tied."""
        key = self.key(table)
        exact = EXACT_TIME if key == TIMESTAMP and EXACT_TIME in table.columns else key
        facts: dict[str, str | int] = {"by": key or "input_order", "ties": self.ties, "tied_events": tied_events(table, exact)}
        return facts | ({"seed": self.seed} if self.ties == "random" else {})

    @staticmethod
    def _require_no_gaps(column: pl.Series, rows: pl.Series, file: str) -> None:
        missing = column.is_null()
        if missing.any():
            index = missing.arg_max()
            assert index is not None
            raise DataError(
                f"{file}, row {rows[index] + 1}, column {column.name}",
                expected="a value in every row that is to be ordered by it",
                got=f"None ({missing.sum():,} such rows)",
                fix="fill them, leave the rows out (filters.missing=drop), or set order.by=input_order",
            )


def tied_events(table: pl.DataFrame, key: str | None) -> int:
    """Counts the events that share user and key with another one; ``table`` is sorted by them."""
    if key is None or table.height < 2:
        return 0
    user, value = table[USER_IDX], table[key]
    same = ((user.slice(1) == user.head(-1)) & value.slice(1).eq_missing(value.head(-1))).to_numpy()
    return int(np.count_nonzero(np.append(same, False) | np.append([False], same)))
