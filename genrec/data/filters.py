"""Filters events and items before the split, and counts what each filter removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import polars as pl

from genrec.data.lib.events import ROW, Events, Removed
from genrec.data.lib.ids import find_alike
from genrec.errors import ConfigError, DataError
from genrec.protocols import RawData
from genrec.types import EVENT_TYPE, ITEM_ID, RATING, USER_ID


def require_interactions(where: str, left: int, before: int, fix: str) -> None:
    """Raises DataError when no interactions are left."""
    if left == 0:
        raise DataError(where, expected="some interactions to be left", got=f"none of {before:,}", fix=fix)


def _count_removed(name: str, before: pl.DataFrame, after: pl.DataFrame) -> Removed:
    users, items = (
        before[column].drop_nulls().n_unique() - after[column].drop_nulls().n_unique() for column in (USER_ID, ITEM_ID)
    )
    return Removed(name, before.height - after.height, users, items)


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Filters of events.

    They are applied in this order: missing values, kinds of events, exact duplicates, unknown items; then, after the events are
    in their users' order: rating, repeats, k-core.

    Args:
        missing: what to do with interactions without a user, an item, or the time or position they are ordered by, and with
            items without an id: ``error`` or ``drop`` (counted).
        event_types: the kinds of events that count; None: all.
        duplicates: ``keep``, or ``drop`` interactions that repeat another one in all that was read of it (user, item, time,
            position, rating, kind, weight), and items written twice alike.
        unknown_items: what to do with interactions whose item the catalogue lacks: ``error`` or ``drop`` (counted).
        min_rating: keep events with at least this rating; unrated events are removed too. None: keep all.
        repeats: ``keep`` all; ``collapse`` runs of the same item into their first event; ``first``: only each user's first
            event with an item.
        k_core: users and items with fewer events than this are removed until no such user or item remains. ALL events count,
            test targets included (as in the published 5-cores). Items are removed from the catalogue too, so 1 removes cold
            items. 0: no filter.
    """

    missing: Literal["error", "drop"] = "error"
    event_types: Sequence[str] | None = None
    duplicates: Literal["keep", "drop"] = "keep"
    unknown_items: Literal["error", "drop"] = "error"
    min_rating: float | None = None
    repeats: Literal["keep", "collapse", "first"] = "keep"
    k_core: int = 0

    def __post_init__(self) -> None:
        if self.k_core < 0:
            raise ConfigError("k_core", expected="a count >= 0", got=self.k_core, fix="use 0 for no k-core")
        if self.event_types is not None and not self.event_types:
            raise ConfigError("event_types", expected="kinds of events, or null", got=[], fix="name those that count")

    def before_order(self, raw: RawData, key: str | None) -> tuple[RawData, list[Removed]]:
        """Removes missing values, other kinds of events, duplicates and unknown items, as configured.

        Args:
            raw: canonical data; ids may be missing under ``missing=drop``.
            key: the column that orders the events, if there is one.

        Raises:
            DataError: when nothing is left, when kinds are asked for that are not there, or for unknown items under ``error``.
        """
        removed: list[Removed] = []
        for name, fix, step in (
            ("missing=drop", "name the columns that hold users, items and times", partial(self._drop_incomplete, key=key)),
            (f"event_types={list(self.event_types or [])}", "choose other kinds", self._select_kinds),
            ("duplicates=drop", "keep them", self._drop_duplicates),
        ):
            after = step(raw.interactions, raw)
            if after is not raw.interactions:
                removed.append(_count_removed(name, raw.interactions, after))
                require_interactions(f"filters.{name}", after.height, raw.interactions.height, fix)
                raw = replace(raw, interactions=after)
        raw, unknown = self.drop_unknown_items(raw)
        return raw, removed + unknown

    def _drop_incomplete(self, table: pl.DataFrame, raw: RawData, key: str | None) -> pl.DataFrame:
        if self.missing == "error":
            return table
        return table.drop_nulls([USER_ID, ITEM_ID, *([key] if key else [])])

    def _select_kinds(self, table: pl.DataFrame, raw: RawData) -> pl.DataFrame:
        if self.event_types is None:
            return table
        if EVENT_TYPE not in table.columns:
            raise DataError(
                f"filters.event_types={list(self.event_types)}",
                expected="interactions with kinds of events",
                got=f"columns {', '.join(name for name in table.columns if name != ROW)}",
                fix="name the column of the kinds: data.event_type=COLUMN",
            )
        kinds = table[EVENT_TYPE].value_counts(sort=True).rows()
        there = {str(kind) for kind, _ in kinds}
        lacking = [kind for kind in self.event_types if kind not in there]
        if lacking:
            counts = ", ".join(f"{kind} ({count:,})" for kind, count in kinds[:10])
            expected = f"kinds of events that {raw.files.get('interactions', 'the interactions')} has"
            raise DataError("filters.event_types", expected=expected, got=lacking[0], fix=f"choose among {counts}")
        return table.filter(pl.col(EVENT_TYPE).is_in(list(self.event_types)))

    def _drop_duplicates(self, table: pl.DataFrame, raw: RawData) -> pl.DataFrame:
        if self.duplicates == "keep":
            return table
        return table.unique(subset=[name for name in table.columns if name != ROW], keep="first", maintain_order=True)

    def drop_unknown_items(self, raw: RawData) -> tuple[RawData, list[Removed]]:
        """Removes the interactions of items that the catalogue lacks.

        Raises:
            DataError: when there are such interactions and the policy is ``error``, or when no other interaction is left.
        """
        if raw.items is None:
            return raw, []
        table = raw.interactions
        unknown = table[ITEM_ID].is_in(raw.items[ITEM_ID].implode()).not_()
        count = int(unknown.sum())
        if count == 0:
            return raw, []
        if self.unknown_items == "error" or count == table.height:
            first_unknown = unknown.arg_max()
            assert first_unknown is not None
            alike = find_alike(table[ITEM_ID].filter(unknown), raw.items[ITEM_ID])
            fix = "add the items, or set filters.unknown_items=drop"
            if alike is not None:
                fix = f"{alike[0]!r} is {alike[1]!r} there: {alike[2]}" + (", or " + fix if count < table.height else "")
            elif count == table.height:
                fix = "name the columns of the items' ids (data.item_id=COLUMN, data.items_key=COLUMN), or give other items"
            raise DataError(
                f"{raw.files.get('interactions', 'interactions')}, row {table[ROW][first_unknown] + 1}, column "
                f"{raw.columns.get(ITEM_ID, ITEM_ID)}",
                expected=f"an item of {raw.files.get('items', 'items')}",
                got=f"{table[ITEM_ID][first_unknown]!r} ({count:,} such rows"
                + (", all there are)" if count == table.height else ")"),
                fix=fix,
            )
        remaining = table.filter(~unknown)
        return replace(raw, interactions=remaining), [_count_removed("unknown_items=drop", table, remaining)]

    def apply(self, events: Events) -> tuple[Events, list[Removed]]:
        """Applies the filters of ordered events; returns the remaining events, coded again, and what each filter removed.

        Raises:
            DataError: when ratings are asked for and missing, or nothing is left.
        """
        steps: list[tuple[str, Callable[[Events], Events]]] = []
        if self.min_rating is not None:
            steps.append((f"min_rating={self.min_rating:g}", self._select_rated))
        if self.repeats != "keep":
            steps.append((f"repeats={self.repeats}", self._drop_repeats))
        if self.k_core:
            steps.append((f"k_core={self.k_core} (on all events)", self._keep_core))
        removed = []
        for name, step in steps:
            after = step(events)
            removed.append(
                Removed(
                    name,
                    events.table.height - after.table.height,
                    events.users.height - after.users.height,
                    events.items.height - after.items.height,
                )
            )
            key = name.partition("=")[0]
            off = {"k_core": "0", "min_rating": "null", "repeats": "keep"}[key]
            fix = f"loosen the filter, or set filters.{key}={off}"
            require_interactions(f"filters.{name}", after.table.height, events.table.height, fix)
            events = after
        return events, removed

    def _select_rated(self, events: Events) -> Events:
        if RATING not in events.table.columns:
            raise DataError(
                f"filters.min_rating={self.min_rating:g}",
                expected="interactions with ratings",
                got=f"columns {', '.join(events.table.columns)}",
                fix="map the rating column (data.rating) or set filters.min_rating=null",
            )
        return events.where((events.table[RATING] >= self.min_rating).fill_null(False).to_numpy()).compact()

    def _drop_repeats(self, events: Events) -> Events:
        user, item = events.user_idx, events.item_idx
        if self.repeats == "collapse":
            return events.where(np.append([True], (user[1:] != user[:-1]) | (item[1:] != item[:-1])))
        pairs = pl.Series(user.astype(np.int64) * events.items.height + item)
        return events.where(pairs.is_first_distinct().to_numpy())

    def _keep_core(self, events: Events) -> Events:
        is_kept = np.ones(events.table.height, bool)
        while True:
            user_counts = np.bincount(events.user_idx[is_kept], minlength=events.users.height)
            item_counts = np.bincount(events.item_idx[is_kept], minlength=events.items.height)
            core = is_kept & (user_counts[events.user_idx] >= self.k_core) & (item_counts[events.item_idx] >= self.k_core)
            if np.array_equal(core, is_kept):
                return events.where(is_kept).compact(kept_items=item_counts >= self.k_core)
            is_kept = core
