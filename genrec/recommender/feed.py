"""A nightly feed: what a whole table of items, and lists of ids, change of a catalogue; all at once."""

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
    """One of the things that a feed does.

    Args:
        apply: gives the catalogue after it, and what it changed.
        write: writes that down.
    """

    apply: Callable[[Catalogue], tuple[Catalogue, Changes]]
    write: Callable[[Writing, Changes, Catalogue], None]


@dataclass(frozen=True, kw_only=True)
class Feed:
    """What came tonight.

    Args:
        items: new ones, and known ones with the content they have now; None: none.
        removed: ids to take down.
        restored: ids to put back.
        full: ``items`` is the whole catalogue; whatever it lacks is taken down.
        returning: what only an earlier full feed took down comes back when ``items`` has it.
        reassign: known items whose content changed get the ID of their new content.
    """

    items: ItemRows | None = None
    removed: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    full: bool = False
    returning: bool = False
    reassign: bool = False

    def steps(self, catalogue: Catalogue, journal: Journal) -> Iterator[Step]:
        """What to do, in this order: items come or change, come back, go.

        Args:
            catalogue: before the feed.
            journal: says why items are removed.
        """
        listed: set[str] = set() if self.items is None else set(self.items.frame[ITEM_ID])
        back = list(self.restored)
        if self.returning:
            back += [entry.item_id for entry in journal.entries() if entry.removed == ABSENT and entry.item_id in listed]
        if self.items is not None:
            given, reassign = self.items, self.reassign
            yield Step(
                lambda now: now.with_rows(given, reassign=reassign),
                lambda writing, changes, now: write_items(writing, given, changes, now, reassign=reassign),
            )
        if back:
            yield Step(
                lambda now: _only_known(now.put_back(back)),
                lambda writing, changes, now: writing.mark(changes.restored, removed=0),
            )
        if self.full:
            missing = [item_id for item_id in catalogue.table.frame[ITEM_ID] if item_id not in listed]
            yield Step(
                lambda now: _only_changed(now.without(missing)),
                lambda writing, changes, now: writing.mark(changes.removed, removed=ABSENT),
            )
        if self.removed:
            gone = [*self.removed]
            yield Step(
                lambda now: _only_known(now.without(gone)),
                lambda writing, changes, now: _taken_down(writing, changes, gone),
            )


def write_items(writing: Writing, given: ItemRows, changes: Changes, now: Catalogue, *, reassign: bool) -> None:
    """Writes down what a call said of items, as far as it changed something.

    Args:
        writing: a transaction.
        given: all that was said.
        changes: what came of it.
        now: the catalogue after it.
        reassign: whether IDs followed.
    """
    ids = given.frame[ITEM_ID]
    added, updated = (np.array(ids.is_in(list(names))) for names in (changes.added, changes.updated))
    writing.add(given.of(added).said())
    writing.update(given.of(updated).said(), reassign=reassign)
    named = (*changes.added, *(changes.updated if reassign else ()))
    if named and now.table.sids is not None:
        rows = [now.table.idx[item_id] for item_id in named]
        writing.name(dict(zip(named, now.table.sids.codes[rows].tolist(), strict=True)), now.table.sids.layout)


def _taken_down(writing: Writing, changes: Changes, gone: list[str]) -> None:
    """What somebody takes down stays down, also where a full feed had done it already."""
    unknown = set(changes.unknown)
    writing.mark(
        (item_id for item_id in gone if item_id not in unknown and writing.entry(item_id).removed != REMOVED), removed=REMOVED
    )


def _only_known(done: tuple[Catalogue, Changes]) -> tuple[Catalogue, Changes]:
    """Without the items that were so already: of a feed only its rows count as unchanged."""
    catalogue, changes = done
    return catalogue, Changes(removed=changes.removed, restored=changes.restored, unknown=changes.unknown)


def _only_changed(done: tuple[Catalogue, Changes]) -> tuple[Catalogue, Changes]:
    catalogue, changes = done
    return catalogue, Changes(removed=changes.removed)
