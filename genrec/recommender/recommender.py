"""A trained recommender, ready to answer. Opening one loads no training code and reads nothing outside its bundle."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import polars as pl

from genrec.engine.notebook import table
from genrec.errors import DataError
from genrec.recommender.bundle import open_catalogue
from genrec.recommender.catalogue import Catalogue, memory_of, process_memory
from genrec.recommender.explanation import Explanation, beams, explain, score_items
from genrec.recommender.histories import Histories
from genrec.recommender.item_changes import Changes, shown_id
from genrec.recommender.item_search import similar_items
from genrec.recommender.item_table import check_ids
from genrec.recommender.requests import (
    BeamRequest,
    ExplainRequest,
    HistoryRequest,
    RecommendRequest,
    SimilarRequest,
    accepts_request,
    as_request,
)

T = TypeVar("T")
_SHOWN = 5  # unknown ids named in a warning


class Recommender:
    """Ranks the items of a catalogue for histories of item ids, or of mappings that say more of each event.

    Safe to be asked by many threads while others add and remove items: a call answers from what was there when it began.

    Args:
        catalogue: what is recommended from; replaced, never changed, by whatever adds and removes items.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._writing = Lock()

    def __repr__(self) -> str:
        catalogue = self.catalogue
        ids = "" if catalogue.table.sids is None else f", IDs of {' x '.join(map(str, catalogue.table.sids.sizes))} codes"
        size = f"{sum(memory_of(catalogue).values()) / 1e6:,.1f} MB"
        return f"Recommender({type(catalogue.generator).__name__}, {len(catalogue.table):,} items{ids}, {size})"

    def _repr_html_(self) -> str:
        """Returns what a notebook shows: the model, the items and the bundle."""
        catalogue = self.catalogue
        removed, later = len(catalogue.removed), len(catalogue.table) - (catalogue.num_bundled or len(catalogue.table))
        facts = {
            "model": type(catalogue.generator).__name__,
            "decoding": type(catalogue.strategy).__name__,
            "items": f"{len(catalogue.table):,}, of which {later:,} came later and {removed:,} are not recommended",
            "columns": ", ".join(catalogue.table.frame.columns),
            "semantic IDs": "none"
            if catalogue.table.sids is None
            else f"{' x '.join(map(str, catalogue.table.sids.sizes))} codes",
            "items of the history": "left out" if catalogue.exclude_seen else "recommended again",
            "bundle": " ".join(filter(None, (catalogue.source["fingerprint"], catalogue.source["created"]))) or None,
            "memory": f"{sum(memory_of(catalogue).values()) / 1e6:,.1f} MB",
        }
        rows = [(key, value) for key, value in facts.items() if value is not None]
        return f"<b>Recommender</b>{table(['', ''], rows)}"

    @property
    def memory(self) -> dict[str, int]:
        """The bytes of its parts (see ``memory_of``), and under ``process`` the memory of the process."""
        return memory_of(self.catalogue) | {"process": process_memory()}

    @property
    def items(self) -> pl.DataFrame:
        """The catalogue: ``item_id`` and its other columns."""
        return self.catalogue.table.frame

    @property
    def sids(self) -> pl.DataFrame | None:
        """``item_id`` and ``code_0``, ``code_1``, ... of every item; None for an item scorer."""
        return self.catalogue.table.codes

    # --- asking -------------------------------------------------------------------------------------------------------

    @accepts_request(RecommendRequest)
    def recommend(
        self,
        histories: RecommendRequest | Sequence[str] | Iterable[Iterable[str]] | Any,
        k: int = 10,
        *,
        times: Sequence[float | None] | Sequence[Sequence[float | None]] | None = None,
        request: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        user: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        query: str | Sequence[str | None] | None = None,
        guidance: float | None = None,
        wish: str | None = None,
        wish_strength: float | None = None,
        filter: str | None = None,
        steer: Mapping[str, float] | None = None,
        quota: Mapping[str, int] | None = None,
        exclude_seen: bool | None = None,
        batch_size: int = 128,
    ) -> pl.DataFrame:
        """Returns the ``k`` most likely next items of each history.

        Args:
            histories: a ``RecommendRequest`` alone, which says what each field is; or its ``histories``, and the other fields
                by their names.

        Returns:
            ``history`` (0, 1, ... as given), ``rank`` (1-based), ``item_id`` and ``score`` (with IDs, a log-probability). Of a
            table, ``user_id`` in place of ``history``, in the order of first rows. A history has fewer than ``k`` rows only
            when no more items are left. Removed items are never among them.

        Raises:
            ConfigError: for settings that a request cannot have; for filters that cannot be read or that nothing passes, and
                unknown columns; when the generator looks at times and there are none.
            DataError: when something else than strings stands in a history, or a table cannot be read.
        """
        settings: dict[str, Any] = {"k": k, "filter": filter, "steer": steer, "quota": quota, "exclude_seen": exclude_seen}
        settings |= {"times": times, "request": request, "user": user, "query": query, "batch_size": batch_size}
        settings |= {"guidance": guidance, "wish": wish, "wish_strength": wish_strength}
        return _warn_and_answer(self.catalogue.recommend(as_request(RecommendRequest, "histories", histories, **settings)))

    @accepts_request(SimilarRequest)
    def similar(self, item_id: SimilarRequest | str, k: int = 10, *, filter: str | None = None) -> pl.DataFrame:
        """Returns the ``k`` items most like one, by vectors of the encoder or the generator, or by IDs (see ``similarities``).

        Args:
            item_id: a ``SimilarRequest`` alone; or its ``item_id``, and its other fields by their names.

        Returns:
            ``rank``, ``item_id`` and ``score``, at most 1; never the item itself, never a removed one.

        Raises:
            DataError: for an id that the catalogue does not have.
            ConfigError: for settings that a request cannot have, and filters that cannot be read.
        """
        return similar_items(self.catalogue, as_request(SimilarRequest, "item_id", item_id, k=k, filter=filter))

    def score(
        self,
        history: Iterable[str | Mapping[str, Any]],
        item_ids: Iterable[str],
        *,
        times: Sequence[float | None] | None = None,
        request: Mapping[str, Any] | None = None,
        user: Mapping[str, Any] | None = None,
        query: str | None = None,
    ) -> pl.DataFrame:
        """Returns how probable each of these items is as the next one, by the generator alone.

        Args:
            history: item ids, oldest first, or mappings; unknown ones are left out with a warning.
            item_ids: of the catalogue.
            times: when each item of the history was, for generators that look at times.
            request: what is known of the item that is wanted.
            user: what is known of the user.
            query: what is asked for in words.

        Returns:
            ``item_id`` and ``score``, a log-probability over the whole catalogue, in the order given.

        Raises:
            DataError: for an id that the catalogue does not have.
            ConfigError: for a generator that gives no likelihood.
        """
        catalogue = self.catalogue
        settings: dict[str, Any] = {"times": times, "request": request, "user": user, "query": query}
        read = catalogue.read(as_request(HistoryRequest, "history", history, **settings))
        _warn("histories", map(repr, chain(*read.unknown)), stacklevel=3)
        chosen = catalogue.table.rows(check_ids(item_ids))
        if not chosen:
            raise DataError("items", expected="one or more item ids", got=repr(item_ids)[:100], fix="name an item")
        return score_items(catalogue, replace(read.sequences, refused=None), chosen)

    @accepts_request(ExplainRequest)
    def explain(
        self,
        history: ExplainRequest | Iterable[str | Mapping[str, Any]],
        item_id: str | None = None,
        *,
        times: Sequence[float | None] | None = None,
        request: Mapping[str, Any] | None = None,
        user: Mapping[str, Any] | None = None,
        query: str | None = None,
        last: int = 20,
    ) -> Explanation:
        """Explains why this item may come after this history.

        Args:
            history: an ``ExplainRequest`` alone; or its ``history``, its ``item_id``, and its other fields by their names.

        Raises:
            DataError: for an id that the catalogue does not have.
            ConfigError: for settings that a request cannot have, and a generator that gives no likelihood.
        """
        settings = {"item_id": item_id, "times": times, "request": request, "user": user, "query": query, "last": last}
        return _warn_and_answer(explain(self.catalogue, as_request(ExplainRequest, "history", history, **settings)))

    @accepts_request(BeamRequest)
    def beams(
        self,
        history: BeamRequest | Iterable[str | Mapping[str, Any]],
        k: int = 10,
        *,
        times: Sequence[float | None] | None = None,
        request: Mapping[str, Any] | None = None,
        user: Mapping[str, Any] | None = None,
        query: str | None = None,
        guidance: float | None = None,
        wish: str | None = None,
        wish_strength: float | None = None,
        filter: str | None = None,
        steer: Mapping[str, float] | None = None,
        exclude_seen: bool | None = None,
    ) -> pl.DataFrame:
        """Returns the prefixes that the search for a list kept, level by level (see ``genrec.recommender.explanation``).

        Args:
            history: a ``BeamRequest`` alone; or its ``history``, and its other fields by their names.

        Raises:
            ConfigError: when the decoding strategy keeps no beams, and as ``recommend`` does.
        """
        settings: dict[str, Any] = {"k": k, "filter": filter, "steer": steer, "exclude_seen": exclude_seen}
        settings |= {"times": times, "request": request, "user": user, "query": query}
        settings |= {"guidance": guidance, "wish": wish, "wish_strength": wish_strength}
        return _warn_and_answer(beams(self.catalogue, as_request(BeamRequest, "history", history, **settings)))

    # --- changing -----------------------------------------------------------------------------------------------------

    @property
    def removed(self) -> list[str]:
        """The items that are not recommended, in the order of the catalogue."""
        catalogue = self.catalogue
        return catalogue.table.ids(sorted(catalogue.removed)).to_list()

    def items_with(self, status: str) -> pl.DataFrame:
        """Returns the rows of ``items`` that are active or removed, or that were added or updated since the bundle.

        Raises:
            ConfigError: for another status.
        """
        catalogue = self.catalogue
        return catalogue.table.frame[catalogue.rows_with(str(status))]

    def add_items(self, items: pl.DataFrame | Iterable[Mapping[str, Any]], *, reassign: bool = False) -> Changes:
        """Recommends more items from now on, and gives known ones the content that they have now.

        New ones get IDs from the bundle's own encoder and tokenizer. No ID moves, and nothing that was removed comes back.

        Args:
            items: a table, or one mapping an item: ``item_id`` and any columns of ``items``. Of a known item what is not named
                stays as it is; None empties it. Of a new one it is None.
            reassign: known items whose content changes get the ID of their new content.

        Returns:
            What became of each.

        Raises:
            DataError: for what cannot be read or given an ID; nothing is changed then.
            ConfigError: when the bundle has no tokenizer, and an item is new.
        """
        return self._replace(lambda catalogue: catalogue.with_items(items, reassign=reassign))

    def update_items(
        self, items: pl.DataFrame | Iterable[Mapping[str, Any]], *, reassign: bool = False, quiet: bool = False
    ) -> Changes:
        """Gives known items other content: titles, prices, filters and what is similar by content change at once.

        Args:
            items: as for ``add_items``; ids that the catalogue does not have are left out, named in the answer and warned of.
            reassign: items whose content changes get the ID of their new content.
            quiet: do not warn.

        Returns:
            What became of each.

        Raises:
            DataError: for what cannot be read; nothing is changed then.
        """
        return warn_unknown(self._replace(lambda catalogue: catalogue.with_changes(items, reassign=reassign)), quiet=quiet)

    def remove_items(self, item_ids: Iterable[str], *, quiet: bool = False) -> Changes:
        """Stops recommending these items at once: no call that begins afterwards lists one. Histories may still have them.

        Args:
            item_ids: any; those that the catalogue does not have are named in the answer and warned of.
            quiet: do not warn.

        Returns:
            What became of each.

        Raises:
            DataError: for what is no list of strings; nothing is removed then.
        """
        return warn_unknown(self._replace(lambda catalogue: catalogue.without_items(item_ids)), quiet=quiet)

    def restore_items(self, item_ids: Iterable[str], *, quiet: bool = False) -> Changes:
        """Recommends removed items again; no other call does.

        Args:
            item_ids: any; those that the catalogue does not have are named in the answer and warned of.
            quiet: do not warn.

        Returns:
            What became of each.

        Raises:
            DataError: for what is no list of strings; nothing is put back then.
        """
        return warn_unknown(self._replace(lambda catalogue: catalogue.put_back(item_ids)), quiet=quiet)

    def _replace(self, change: Callable[[Catalogue], tuple[Catalogue, Changes]]) -> Changes:
        with self._writing:
            self.catalogue, changes = change(self.catalogue)
            return changes


def warn_unknown(changes: Changes, *, quiet: bool) -> Changes:
    """Warns of ids that a call left out."""
    if not quiet:
        _warn("items", map(shown_id, changes.unknown), stacklevel=4)
    return changes


def _warn_and_answer(answer: tuple[T, Histories]) -> T:
    """Warns of ids that were left out of the histories, and returns the answer alone."""
    _warn("histories", map(repr, chain(*answer[1].unknown)), stacklevel=5)
    return answer[0]


def _warn(where: str, shown: Iterable[str], *, stacklevel: int) -> None:
    if unknown := list(dict.fromkeys(shown)):
        more = f" and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
        names = ", ".join(unknown[:_SHOWN])
        warnings.warn(f"{where}: not in the catalogue, left out: {names}{more}", stacklevel=stacklevel)


def open_bundle(
    path: Path,
    *,
    plugins: Sequence[str] = (),
    external: Mapping[str, str | Path] | None = None,
    warm: bool = False,
) -> Recommender:
    """Opens a bundle; see ``open_catalogue``. With ``warm`` it opens all that the first new item would open."""
    catalogue = open_catalogue(path, plugins=plugins, external=external)
    if warm:
        from genrec.recommender.bundle import warm_up

        catalogue = warm_up(catalogue)
    return Recommender(catalogue)
