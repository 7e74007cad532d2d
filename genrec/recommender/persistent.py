"""A recommender whose changes are written down, come back at the next start, and outlive the bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from genrec.recommender.bundle import open_catalogue, warm_up
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.feed import Feed, write_items
from genrec.recommender.item_changes import Changes, ItemRows, item_rows
from genrec.recommender.item_table import check_ids
from genrec.recommender.journal import ABSENT, REMOVED, Journal
from genrec.recommender.recommender import Recommender, warn_unknown


class PersistentRecommender(Recommender):
    """Answers from the latest of several bundles, with every item that was ever added or removed.

    A change is computed first, then written down, then visible. A call that fails leaves nothing behind, and what a call that
    returned has changed is never lost. Model, IDs, trie and items are swapped together or not at all.

    Args:
        catalogue: the first.
        journal: earlier changes; later ones are written to it.

    Raises:
        DataError: when an item of the journal does not fit the catalogue.
    """

    def __init__(self, catalogue: Catalogue, journal: Journal) -> None:
        super().__init__(catalogue)
        self._journal = journal
        self.catalogue = self._replay_journal(catalogue)

    def add_items(self, items: pl.DataFrame | Iterable[Mapping[str, Any]], *, reassign: bool = False) -> Changes:
        """See ``Recommender.add_items``.

        Raises:
            ArtifactError: when it cannot be written down; nothing is added then.
        """
        with self._writing:
            rows = item_rows(items, self.catalogue.table.frame.schema)
            return self._write(*self.catalogue.with_rows(rows, reassign=reassign), rows, reassign=reassign)

    def update_items(
        self, items: pl.DataFrame | Iterable[Mapping[str, Any]], *, reassign: bool = False, quiet: bool = False
    ) -> Changes:
        """See ``Recommender.update_items``.

        Raises:
            ArtifactError: when it cannot be written down; nothing is updated then.
        """
        with self._writing:
            rows = item_rows(items, self.catalogue.table.frame.schema)
            changes = self._write(*self.catalogue.with_changes(rows, reassign=reassign), rows, reassign=reassign)
            return warn_unknown(changes, quiet=quiet)

    def remove_items(self, item_ids: Iterable[str], *, quiet: bool = False, absent: bool = False) -> Changes:
        """Does what ``Recommender.remove_items`` does; ``absent``: only because a feed of the full catalogue lacks them.

        Raises:
            ArtifactError: when it cannot be written down; nothing is removed then.
        """
        with self._writing:
            following, changes = self.catalogue.without_items(item_ids)
            if absent:
                self._write(following, changes, absent=changes.removed)
            else:
                self._write(following, changes, taken_down=(*changes.removed, *changes.unchanged))
            return warn_unknown(changes, quiet=quiet)

    def restore_items(self, item_ids: Iterable[str], *, quiet: bool = False, absent: bool = False) -> Changes:
        """Does what ``Recommender.restore_items`` does; ``absent``: only what was removed because a full feed lacked it.

        Raises:
            ArtifactError: when it cannot be written down; nothing is put back then.
        """
        with self._writing:
            if absent:
                absent_ids = {entry.item_id for entry in self._journal.entries() if entry.removed == ABSENT}
                item_ids = [item_id for item_id in check_ids(item_ids) if item_id in absent_ids]
            return warn_unknown(self._write(*self.catalogue.put_back(item_ids)), quiet=quiet)

    def feed(self, feed: Feed) -> Changes:
        """Applies a whole feed, as ``genrec feed`` reads it. All of it is written down, or nothing.

        Raises:
            DataError: for rows that cannot be given an ID.
            ArtifactError: when it cannot be written down; nothing changes then.
        """
        with self._writing:
            writing, following, changes = self._journal.writing(), self.catalogue, Changes()
            for step in feed.steps(following, self._journal):
                following, more = step.apply(following)
                step.write(writing, more, following)
                changes = changes.and_then(more)
            if writing.entries:
                self._journal.write(writing)
            self.catalogue = following
            return changes

    def swap(
        self,
        following: Catalogue | Path,
        *,
        plugins: Sequence[str] = (),
        external: Mapping[str, str | Path] | None = None,
    ) -> None:
        """Answers from another bundle from now on. The bundle is opened before anything stops.

        Raises:
            ArtifactError: when it cannot be opened; the old one stays.
            DataError: when an item of the journal does not fit it; the old one stays.
        """
        if isinstance(following, Path):
            following = warm_up(open_catalogue(following, plugins=plugins, external=external))
        with self._writing:
            self.catalogue = self._replay_journal(following)

    def close(self) -> None:
        """Releases the journal for other processes."""
        self._journal.close()

    def _write(
        self,
        following: Catalogue,
        changes: Changes,
        rows: ItemRows | None = None,
        *,
        reassign: bool = False,
        taken_down: Iterable[str] = (),
        absent: Iterable[str] = (),
    ) -> Changes:
        """Writes a change down, and then makes it visible. A call that changes nothing is not written."""
        writing = self._journal.writing()
        if rows is not None:
            write_items(writing, rows, changes, following, reassign=reassign)
        writing.mark(taken_down, removed=REMOVED)
        writing.mark(absent, removed=ABSENT)
        writing.mark(changes.restored, removed=0)
        if writing.entries:
            self._journal.write(writing)
        self.catalogue = following
        return changes

    def _replay_journal(self, catalogue: Catalogue) -> Catalogue:
        """Applies the journal to a bundle's catalogue. Columns and items that it does not have are passed over.

        An item that a call added and the bundle has by now is taken from the bundle, what a call changed stays changed.
        """
        columns, entries = set(catalogue.table.frame.columns), self._journal.entries()
        later = [
            _known_columns(entry.basis or entry.content or {}, columns)
            for entry in entries
            if entry.added and entry.item_id not in catalogue.table.idx
        ]
        if later:
            sids = catalogue.table.sids
            layout = None if sids is None else sids.layout
            had = {entry.item_id: entry.codes["codes"] for entry in entries if entry.codes and entry.codes["layout"] == layout}
            catalogue, _ = catalogue.with_rows(item_rows(later, catalogue.table.frame.schema), codes=had)
        updated = [entry for entry in entries if entry.updated and entry.item_id in catalogue.table.idx]
        for reassign in (True, False):  # first the items that got a new ID, by the content of that time
            rows = [_known_columns((entry.basis if reassign else entry.content) or {}, columns) for entry in updated]
            if reassign:
                rows = [row for row, entry in zip(rows, updated, strict=True) if entry.basis and not entry.added]
            if rows:
                catalogue, _ = catalogue.with_changes(rows, reassign=reassign)
        removed_ids = (entry.item_id for entry in entries if entry.removed and entry.item_id in catalogue.table.idx)
        return catalogue.without_items(removed_ids)[0]


def _known_columns(content: Mapping[str, Any], columns: set[str]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name in columns}
