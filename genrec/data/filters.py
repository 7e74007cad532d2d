"""What leaves the data before it is split; each filter tells what it removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from genrec.data.events import Events
from genrec.errors import ConfigError, DataError
from genrec.protocols import RawData
from genrec.types import ITEM_ID, RATING, USER_ID


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


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Applied in this order, to events already in their users' order: unknown items, rating, repeats, k-core.

    Args:
        unknown_items: what to do with interactions whose item the catalogue lacks: ``error`` or ``drop`` (counted).
        min_rating: keep events rated at least so; unrated events go too. None: all.
        repeats: ``keep`` all; ``collapse`` runs of the same item into their first event; ``first``: only each user's first
            event with an item.
        k_core: users and items with fewer than so many events are removed until none is left. Counted on ALL events, test
            targets included (as the published 5-cores are); items go from the catalogue too, so 1 drops cold items. 0: off.
    """

    unknown_items: Literal["error", "drop"] = "error"
    min_rating: float | None = None
    repeats: Literal["keep", "collapse", "first"] = "keep"
    k_core: int = 0

    def __post_init__(self) -> None:
        if self.k_core < 0:
            raise ConfigError("k_core", expected="a count >= 0", got=self.k_core, fix="use 0 for no k-core")

    def known(self, raw: RawData) -> tuple[RawData, list[Removed]]:
        """Data without interactions of unknown items.

        Raises:
            DataError: when there are some and the policy is ``error``.
        """
        if raw.items is None:
            return raw, []
        table = raw.interactions
        unknown = table[ITEM_ID].is_in(raw.items[ITEM_ID].implode()).not_()
        count = int(unknown.sum())
        if count == 0:
            return raw, []
        if self.unknown_items == "error":
            row = unknown.arg_max()
            assert row is not None
            raise DataError(
                f"{raw.files.get('interactions', 'interactions')}, row {row + 1}, column {ITEM_ID}",
                expected=f"an item of {raw.files.get('items', 'items')}",
                got=f"{table[ITEM_ID][row]!r} ({count:,} such rows)",
                fix="add the items, or set filters.unknown_items=drop",
            )
        kept, gone = table.filter(~unknown), table.filter(unknown)
        users = table[USER_ID].n_unique() - kept[USER_ID].n_unique()
        return replace(raw, interactions=kept), [Removed("unknown_items=drop", count, users, gone[ITEM_ID].n_unique())]

    def apply(self, events: Events) -> tuple[Events, list[Removed]]:
        """Events that pass, coded anew, and what each active filter removed.

        Raises:
            DataError: when ratings are asked for and missing, or nothing is left.
        """
        steps: list[tuple[str, Callable[[Events], Events]]] = []
        if self.min_rating is not None:
            steps.append((f"min_rating={self.min_rating:g}", self._rated))
        if self.repeats != "keep":
            steps.append((f"repeats={self.repeats}", self._without_repeats))
        if self.k_core:
            steps.append((f"k_core={self.k_core} (on all events)", self._core))
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
            if after.table.height == 0:
                raise DataError(
                    f"filters.{name}",
                    expected="some interactions to be left",
                    got=f"none of {events.table.height:,}",
                    fix="loosen the filter",
                )
            events = after
        return events, removed

    def _rated(self, events: Events) -> Events:
        if RATING not in events.table.columns:
            raise DataError(
                f"filters.min_rating={self.min_rating:g}",
                expected="interactions with ratings",
                got=f"columns {', '.join(events.table.columns)}",
                fix="map the rating column (data.rating) or set filters.min_rating=null",
            )
        return events.where((events.table[RATING] >= self.min_rating).fill_null(False).to_numpy()).compact()

    def _without_repeats(self, events: Events) -> Events:
        user, item = events.user_idx, events.item_idx
        if self.repeats == "collapse":
            return events.where(np.append([True], (user[1:] != user[:-1]) | (item[1:] != item[:-1])))
        pairs = pl.Series(user.astype(np.int64) * events.items.height + item)
        return events.where(pairs.is_first_distinct().to_numpy())

    def _core(self, events: Events) -> Events:
        kept = np.ones(events.table.height, bool)
        while True:
            user_counts = np.bincount(events.user_idx[kept], minlength=events.users.height)
            item_counts = np.bincount(events.item_idx[kept], minlength=events.items.height)
            core = kept & (user_counts[events.user_idx] >= self.k_core) & (item_counts[events.item_idx] >= self.k_core)
            if np.array_equal(core, kept):
                return events.where(kept).compact(kept_items=item_counts >= self.k_core)
            kept = core
