"""A recommender whose changes last: they are written down, come back at the next start, and outlive the bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from genrec.serving.bundle import open_catalogue
from genrec.serving.catalogue import Catalogue
from genrec.serving.journal import Journal
from genrec.serving.recommender import Recommender


class Live(Recommender):
    """Answers from the newest of several bundles, with everything that was ever added or removed.

    A change is worked out first, then written down, then seen: what fails leaves nothing behind, and what has returned is never
    lost. Model, IDs, trie and items are swapped together or not at all.

    Args:
        catalogue: the first.
        journal: what was written down before, and where to go on.

    Raises:
        DataError: when an item of the journal does not fit the catalogue.
    """

    def __init__(self, catalogue: Catalogue, journal: Journal) -> None:
        super().__init__(catalogue)
        self._journal = journal
        self.catalogue = self._replayed(catalogue)

    def add_items(self, items: pl.DataFrame | Iterable[Mapping[str, Any]]) -> None:
        """See ``Recommender.add_items``.

        Raises:
            ArtifactError: when it cannot be written down; nothing is added then.
        """
        rows = items.to_dicts() if isinstance(items, pl.DataFrame) else list(items)
        self._written(lambda now: now.with_items(rows), lambda: self._journal.add(rows))

    def remove_items(self, item_ids: Iterable[str]) -> None:
        """See ``Recommender.remove_items``.

        Raises:
            ArtifactError: when it cannot be written down; nothing is removed then.
        """
        chosen = list(item_ids)
        self._written(lambda now: now.without(chosen), lambda: self._journal.mark(chosen, removed=True))

    def put_back(self, item_ids: Iterable[str]) -> None:
        """See ``Recommender.put_back``.

        Raises:
            ArtifactError: when it cannot be written down; nothing is put back then.
        """
        chosen = list(item_ids)
        self._written(lambda now: now.put_back(chosen), lambda: self._journal.mark(chosen, removed=False))

    def swap(self, following: Catalogue | Path, *, plugins: Sequence[str] = ()) -> None:
        """Answers from another bundle from now on, such as one that ``genrec export --new`` made; opened before anything stops.

        Raises:
            ArtifactError: when it cannot be opened; the old one stays.
            DataError: when an item of the journal does not fit it; the old one stays.
        """
        opened = open_catalogue(following, plugins=plugins) if isinstance(following, Path) else following
        self._replace(lambda now: self._replayed(opened))

    def close(self) -> None:
        """Lets another process have the journal."""
        self._journal.close()

    def _written(self, change: Callable[[Catalogue], Catalogue], write: Callable[[], None]) -> None:
        def changed(now: Catalogue) -> Catalogue:
            following = change(now)
            write()
            return following

        self._replace(changed)

    def _replayed(self, catalogue: Catalogue) -> Catalogue:
        """A bundle's catalogue with the journal's items; columns and removed items that it does not know are passed over."""
        columns = catalogue.table.frame.columns
        later = [row for row in self._journal.added() if row["item_id"] not in catalogue.table.idx]
        if later:
            catalogue = catalogue.with_items([{key: row[key] for key in columns if key in row} for row in later])
        return catalogue.without(item_id for item_id in self._journal.removed() if item_id in catalogue.table.idx)
