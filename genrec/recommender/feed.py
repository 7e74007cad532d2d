"""A nightly feed: a table of items and lists of ids that change a catalogue, all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from genrec.recommender.catalogue import Catalogue
from genrec.recommender.item_changes import Changes, ItemRows
from genrec.recommender.journal import ABSENT, REMOVED, Journal, Writing
from genrec.types import ITEM_ID


@dataclass(frozen=True)
class Step:
    """One of the steps of a feed.

    Args:
        apply: returns the catalogue after the step, and what changed.
        write: writes the change down.
    """

    apply: Callable[[Catalogue], tuple[Catalogue, Changes]]
    write: Callable[[Writing, Changes, Catalogue], None]


@dataclass(frozen=True, kw_only=True)
class Feed:
    """The content of one feed.

    Args:
        items: new ones, and known ones with the content they have now; None: none.
        removed: ids to take down.
        restored: ids to put back.
        full: ``items`` is the whole catalogue; items that it lacks are removed.
        returning: items that only an earlier full feed removed come back when ``items`` has them.
        reassign: known items whose content changed get the ID of their new content.
    """

    items: ItemRows | None = None
    removed: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    full: bool = False
    returning: bool = False
    reassign: bool = False

    def steps(self, catalogue: Catalogue, journal: Journal) -> Iterator[Step]:
        """Yields the steps in this order: items come or change, come back, go.

        Args:
            catalogue: before the feed.
            journal: the reason why each item is removed.
        """
        listed: set[str] = set() if self.items is None else set(self.items.frame[ITEM_ID])
        restored_ids = list(self.restored)
        if self.returning:
            restored_ids += [
                entry.item_id for entry in journal.entries() if entry.removed == ABSENT and entry.item_id in listed
            ]
        if self.items is not None:
            rows, reassign = self.items, self.reassign
            yield Step(
                lambda current: current.with_rows(rows, reassign=reassign),
                lambda writing, changes, current: write_items(writing, rows, changes, current, reassign=reassign),
            )
        if restored_ids:
            yield Step(
                lambda current: _without_unchanged(current.put_back(restored_ids)),
                lambda writing, changes, current: writing.mark(changes.restored, removed=0),
            )
        if self.full:
            missing = [item_id for item_id in catalogue.table.frame[ITEM_ID] if item_id not in listed]
            yield Step(
                lambda current: _removed_only(current.without_items(missing)),
                lambda writing, changes, current: writing.mark(changes.removed, removed=ABSENT),
            )
        if self.removed:
            removed_ids = [*self.removed]
            yield Step(
                lambda current: _without_unchanged(current.without_items(removed_ids)),
                lambda writing, changes, current: _mark_taken_down(writing, changes, removed_ids),
            )


def write_items(writing: Writing, items: ItemRows, changes: Changes, catalogue: Catalogue, *, reassign: bool) -> None:
    """Writes down the content that a call gave to items, as far as it changed something.

    Args:
        writing: a transaction.
        given: all that was said.
        changes: what the call changed.
        now: the catalogue after it.
        reassign: whether IDs followed the content.
    """
    ids = items.frame[ITEM_ID]
    added, updated = (np.array(ids.is_in(list(names))) for names in (changes.added, changes.updated))
    writing.add(items.select(added).named_values())
    writing.update(items.select(updated).named_values(), reassign=reassign)
    named = (*changes.added, *(changes.updated if reassign else ()))
    if named and catalogue.table.sids is not None:
        rows = [catalogue.table.idx[item_id] for item_id in named]
        writing.name(dict(zip(named, catalogue.table.sids.codes[rows].tolist(), strict=True)), catalogue.table.sids.layout)


def _mark_taken_down(writing: Writing, changes: Changes, removed_ids: list[str]) -> None:
    """Marks items as taken down, including those that a full feed had removed already."""
    unknown = set(changes.unknown)
    writing.mark(
        (item_id for item_id in removed_ids if item_id not in unknown and writing.entry(item_id).removed != REMOVED),
        removed=REMOVED,
    )


def _without_unchanged(result: tuple[Catalogue, Changes]) -> tuple[Catalogue, Changes]:
    """Drops the unchanged items from a step's changes: of a feed only its rows count as unchanged."""
    catalogue, changes = result
    return catalogue, Changes(removed=changes.removed, restored=changes.restored, unknown=changes.unknown)


def _removed_only(result: tuple[Catalogue, Changes]) -> tuple[Catalogue, Changes]:
    catalogue, changes = result
    return catalogue, Changes(removed=changes.removed)
