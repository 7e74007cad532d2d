"""Interactions with users and items as dense codes, which filters, orders and splits work on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from genrec.errors import DataError
from genrec.protocols import RawData
from genrec.types import ITEM_ID, ITEM_IDX, USER_ID, USER_IDX

ROW = "row"  # column: number of the row in the input, from 0
EXACT_TIME = "exact_time"  # column: sorts as the times do where seconds as 64-bit floats cannot tell them apart
MIN_EVENTS = 3  # one to train on, one to validate, one to test


@dataclass(frozen=True)
class Events:
    """All interactions, with users and items as codes.

    Args:
        table: ``user_idx``, ``item_idx`` (rows of ``users`` and ``items``), ``row`` (number in the input), optional columns.
        users: ``user_id``, by first appearance.
        items: ``item_id`` and content, in the catalogue's order; by first appearance where there is no catalogue.
        has_catalog: whether items came in a table of their own: then items without events are kept (cold items).
    """

    table: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame
    has_catalog: bool

    @classmethod
    def of(cls, raw: RawData) -> Events:
        """Codes canonical data whose items are all in the catalogue."""
        users = raw.interactions.select(pl.col(USER_ID).unique(maintain_order=True))
        items = raw.items if raw.items is not None else raw.interactions.select(pl.col(ITEM_ID).unique(maintain_order=True))
        table = raw.interactions
        for names, idx in ((users, USER_IDX), (items.select(ITEM_ID), ITEM_IDX)):
            table = table.join(names.with_row_index(idx), on=names.columns[0], how="left", maintain_order="left")
        return cls(table.drop(USER_ID, ITEM_ID), users, items, raw.items is not None)

    @property
    def user_idx(self) -> np.ndarray:
        return self.table[USER_IDX].to_numpy()

    @property
    def item_idx(self) -> np.ndarray:
        return self.table[ITEM_IDX].to_numpy()

    @property
    def offsets(self) -> np.ndarray:
        """int64 [users + 1] of events that stand together by user."""
        counts = np.bincount(self.user_idx, minlength=self.users.height)
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def where(self, mask: np.ndarray) -> Events:
        """Selects events (bool [events]); users and items stay listed until ``compact``."""
        return replace(self, table=self.table.filter(pl.Series(mask)))

    def after(self, before: pl.DataFrame) -> Events:
        """Recodes the events for a catalogue that starts with the items ``before``, followed by the items that it lacks."""
        items = catalogue_after(before, self.items)
        moved = self.items.select(ITEM_ID).join(items.select(ITEM_ID).with_row_index(), on=ITEM_ID, maintain_order="left")
        column = moved["index"].gather(self.table[ITEM_IDX]).alias(ITEM_IDX)
        return replace(self, table=self.table.with_columns(column), items=items)

    def compact(self, kept_items: np.ndarray | None = None) -> Events:
        """Drops users without events, and the items not in ``kept_items`` (bool [items]), and codes the rest again.

        Without ``kept_items`` a catalogue stays complete; items without a catalogue are dropped with their last event.
        """
        has_user = np.bincount(self.user_idx, minlength=self.users.height) > 0
        if kept_items is None:
            occurs = np.bincount(self.item_idx, minlength=self.items.height) > 0
            kept_items = np.ones(self.items.height, bool) if self.has_catalog else occurs
        table = self.table.with_columns(
            pl.Series(USER_IDX, (np.cumsum(has_user) - 1)[self.user_idx].astype(np.uint32)),
            pl.Series(ITEM_IDX, (np.cumsum(kept_items) - 1)[self.item_idx].astype(np.uint32)),
        )
        users, items = self.users.filter(pl.Series(has_user)), self.items.filter(pl.Series(kept_items))
        return replace(self, table=table, users=users, items=items)


def catalogue_after(before: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The rows of ``before`` as they are, then those of ``items`` whose ``item_id`` it lacks.

    Raises:
        DataError: when later items lack a column, or one holds something else in the two.
    """
    later = items.join(before.select(ITEM_ID), on=ITEM_ID, how="anti", maintain_order="left")
    lacking = [name for name in before.columns if name not in later.columns]
    if later.height and lacking:  # nulls instead would give the items IDs without their content
        expected = f"the columns of the run that is extended ({', '.join(before.columns)})"
        raise DataError("items", expected=expected, got=f"no {lacking[0]}", fix="add it, empty where nothing is known")
    types = pl.Schema({name: kind for name, kind in before.schema.items() if name in later.columns and kind != pl.Null})
    try:
        return pl.concat([before, later.cast(types)], how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            "items", expected="columns of the types they have in the run that is extended", got=reason, fix="convert them"
        ) from error


@dataclass(frozen=True)
class Removed:
    """What one filter took out (users and items: those that are gone altogether).

    Args:
        by: the filter and its setting.
        interactions: number of events.
        users: number of users.
        items: number of items.
    """

    by: str
    interactions: int
    users: int
    items: int

    def __str__(self) -> str:
        if not (self.interactions or self.users or self.items):
            return f"{self.by}: removed nothing"
        return f"{self.by}: removed {self.interactions:,} interactions, {self.users:,} users, {self.items:,} items"

    def facts(self) -> dict[str, Any]:
        return asdict(self)
