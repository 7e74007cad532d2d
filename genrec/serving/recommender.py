"""A trained recommender, ready to answer. Opening one loads no training code and reads nothing outside its bundle."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import polars as pl

from genrec.errors import DataError
from genrec.serving.arguments import filter_text, preferences, truth, whole_number
from genrec.serving.beams import beams
from genrec.serving.bundle import open_catalogue
from genrec.serving.catalogue import HISTORY, Catalogue
from genrec.serving.changes import Changes
from genrec.serving.explanation import Explanation, explain, scored
from genrec.serving.histories import Histories, is_table, listed, read_histories, read_table
from genrec.serving.item_ids import shown_id
from genrec.serving.item_table import listed_ids
from genrec.serving.memory import memory_of, resident
from genrec.serving.similar import similarities
from genrec.types import ITEM_ID, RANK, SCORE, TIMESTAMP, USER_ID

_SHOWN = 5  # unknown ids named in a warning


class Recommender:
    """Ranks the items of a catalogue for histories of item ids.

    Safe to be asked by many threads while others add and remove items: a call answers from what was there when it began.

    Args:
        catalogue: what is recommended from; replaced, never changed, by whatever adds and removes items.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._writing = Lock()

    def __repr__(self) -> str:
        now = self.catalogue
        ids = "" if now.table.sids is None else f", IDs of {' x '.join(map(str, now.table.sids.sizes))} codes"
        size = f"{sum(memory_of(now).values()) / 1e6:,.1f} MB"
        return f"Recommender({type(now.generator).__name__}, {len(now.table):,} items{ids}, {size})"

    @property
    def memory(self) -> dict[str, int]:
        """Bytes of its parts (see ``memory_of``), and under ``process`` all that this process has in memory."""
        return memory_of(self.catalogue) | {"process": resident()}

    @property
    def items(self) -> pl.DataFrame:
        """The catalogue: ``item_id`` and its other columns."""
        return self.catalogue.table.frame

    @property
    def sids(self) -> pl.DataFrame | None:
        """``item_id`` and ``code_0``, ``code_1``, ... of every item; None for an item scorer."""
        return self.catalogue.table.codes

    # --- asking -------------------------------------------------------------------------------------------------------

    def recommend(
        self,
        histories: Sequence[str] | Iterable[Iterable[str]] | Any,
        k: int = 10,
        *,
        times: Sequence[float] | Sequence[Sequence[float]] | None = None,
        exclude_seen: bool | None = None,
        only: str | None = None,
        steer: Mapping[str, float] | None = None,
        quota: Mapping[str, int] | None = None,
        batch_size: int = 128,
    ) -> pl.DataFrame:
        """The ``k`` most likely next items of each history.

        Args:
            histories: item ids, oldest first: one list, or a list of lists; or a polars, pandas or arrow table with a row for
                each event: ``user_id``, ``item_id`` and perhaps ``timestamp`` or ``position`` (see ``read_table``). A history
                may be empty. The model reads its last ``generator.max_history_len`` items, the seen-item rule all of them. Ids
                that are not in the catalogue are left out with a warning.
            k: how many items, at most the catalogue. Where the decoding strategy keeps fewer beams, they widen to ``k``.
            times: when each item of each history was, for generators that look at times: numbers on the clock of the training
                data, which is seconds where that had dates. A table has them in its column ``timestamp``.
            exclude_seen: never return an item of the history itself; None: the rule that the run was evaluated by.
            only: a filter such as ``price < 20 and brand in ["OPI", "Essie"]`` (``genrec.decoding.predicate`` has the language)
                over the columns of ``items`` and ``sids``. Scores stay those of the unfiltered search.
            steer: filters, and what to add to the log-probability of the items that pass each: ``{'brand == "OPI"': 0.5}``.
                Lists are ordered by the sum.
            quota: columns, and how many items of one value a list may have at most: ``{"brand": 2}``. Items without a value are
                not counted.
            batch_size: histories decoded at once.

        Returns:
            ``history`` (0, 1, ... as given), ``rank`` (1-based), ``item_id`` and ``score`` (with IDs, a log-probability). Of a
            table, ``user_id`` in place of ``history``, in the order of first rows. A history has fewer than ``k`` rows only
            when no more items are left. Removed items are never among them.

        Raises:
            ConfigError: when ``k`` is below 1; for filters that cannot be read or
                that nothing passes, and unknown columns; when the generator looks at times and there are none.
            DataError: when something else than strings stands in a history, or a table cannot be read.
        """
        now = self.catalogue
        read = _read(histories, times, now)
        _warn(read.unknown)
        answers = now.recommend(
            read.sequences, k=k, exclude_seen=exclude_seen, only=only, steer=steer, quota=quota, batch_size=batch_size
        )
        if read.users is None:
            return answers
        return answers.select(read.users.gather(answers[HISTORY]).alias(USER_ID), pl.exclude(HISTORY))

    def similar(self, item_id: str, k: int = 10, *, only: str | None = None) -> pl.DataFrame:
        """The ``k`` items most like one: by the encoder's vectors, by the generator's, or by the IDs (see ``similarities``).

        Args:
            item_id: of the catalogue, removed or not.
            k: how many items.
            only: a filter, as for ``recommend``.

        Returns:
            ``rank``, ``item_id`` and ``score``, at most 1; never the item itself, never a removed one.

        Raises:
            DataError: for an id that the catalogue does not have.
            ConfigError: for filters that cannot be read.
        """
        now, k, only = self.catalogue, whole_number("k", k), filter_text("only", only)
        row = now.table.rows([item_id])[0]
        scores = pl.Series(SCORE, similarities(now, row).numpy())
        table = pl.DataFrame([now.table.frame[ITEM_ID], scores])
        allowed = now.allowed(only)
        if allowed is not None:
            table = table.filter(pl.Series(allowed.numpy()))
        best = table.filter(pl.col(ITEM_ID) != item_id).sort(SCORE, descending=True, maintain_order=True).head(k)
        return best.with_row_index(RANK, offset=1).cast({RANK: pl.Int64})

    def score(self, history: Iterable[str], item_ids: Iterable[str], *, times: Sequence[float] | None = None) -> pl.DataFrame:
        """How probable each of these items is as the next one, by the generator alone.

        Args:
            history: item ids, oldest first; unknown ones are left out with a warning.
            item_ids: of the catalogue.
            times: when each item of the history was, for generators that look at times.

        Returns:
            ``item_id`` and ``score``, a log-probability over the whole catalogue, in the order given.

        Raises:
            DataError: for an id that the catalogue does not have.
            ConfigError: for a generator that gives no likelihood.
        """
        now = self.catalogue
        read = read_histories([history], now.table.idx, None if times is None else [times])
        _warn(read.unknown)
        chosen = now.table.rows(listed_ids(item_ids))
        if not chosen:
            raise DataError("items", expected="one or more item ids", got=repr(item_ids)[:100], fix="name an item")
        return scored(now, read.sequences, chosen)

    def explain(
        self, history: Iterable[str], item_id: str, *, last: int = 20, times: Sequence[float] | None = None
    ) -> Explanation:
        """Why this item after this history.

        Args:
            history: item ids, oldest first; unknown ones are left out with a warning.
            item_id: of the catalogue.
            last: how many items of the history are weighed, the most recent ones; each costs as much as scoring the item.
            times: when each item of the history was, for generators that look at times.

        Raises:
            DataError: for an id that the catalogue does not have.
            ConfigError: for a generator that gives no likelihood.
        """
        now, last = self.catalogue, whole_number("last", last, least=0)
        read = read_histories([history], now.table.idx, None if times is None else [times])
        _warn(read.unknown)
        return explain(now, read.sequences, now.table.rows([item_id])[0], last=last)

    def beams(
        self,
        history: Iterable[str],
        k: int = 10,
        *,
        exclude_seen: bool | None = None,
        only: str | None = None,
        steer: Mapping[str, float] | None = None,
        times: Sequence[float] | None = None,
    ) -> pl.DataFrame:
        """The prefixes that the search for a list kept, level by level; see ``genrec.serving.beams.beams``.

        Args:
            history: item ids, oldest first; unknown ones are left out with a warning.
            k: items of the list.
            exclude_seen: as for ``recommend``, like ``only`` and ``steer``.
            only: a filter.
            steer: preferences.
            times: when each item of the history was, for generators that look at times.

        Raises:
            ConfigError: when the decoding strategy keeps no beams, and as ``recommend`` does.
        """
        now, k, only = self.catalogue, whole_number("k", k), filter_text("only", only)
        amounts, exclude_seen = preferences("steer", steer), truth("exclude_seen", exclude_seen)
        read = read_histories([history], now.table.idx, None if times is None else [times])
        _warn(read.unknown)
        return beams(now, read.sequences, k=k, exclude_seen=exclude_seen, only=only, steer=amounts)

    # --- changing -----------------------------------------------------------------------------------------------------

    @property
    def removed(self) -> list[str]:
        """The items that are not recommended, in the order of the catalogue."""
        now = self.catalogue
        return now.table.ids(sorted(now.removed)).to_list()

    def items_with(self, status: str) -> pl.DataFrame:
        """The rows of ``items`` that are ``"active"``, ``"removed"``, ``"added"`` since the bundle, or ``"updated"`` since.

        Raises:
            ConfigError: for another status.
        """
        now = self.catalogue
        return now.table.frame[now.rows_with(str(status))]

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
        return self._replace(lambda now: now.with_items(items, reassign=reassign))

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
        return warned(self._replace(lambda now: now.with_changes(items, reassign=reassign)), quiet=quiet)

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
        return warned(self._replace(lambda now: now.without(item_ids)), quiet=quiet)

    def restore_items(self, item_ids: Iterable[str], *, quiet: bool = False) -> Changes:
        """Recommends removed items again; nothing else does.

        Args:
            item_ids: any; those that the catalogue does not have are named in the answer and warned of.
            quiet: do not warn.

        Returns:
            What became of each.

        Raises:
            DataError: for what is no list of strings; nothing is put back then.
        """
        return warned(self._replace(lambda now: now.put_back(item_ids)), quiet=quiet)

    def _replace(self, change: Callable[[Catalogue], tuple[Catalogue, Changes]]) -> Changes:
        with self._writing:
            self.catalogue, changes = change(self.catalogue)
            return changes


def warned(changes: Changes, *, quiet: bool) -> Changes:
    """Warns of ids that a call left out."""
    if changes.unknown and not quiet:
        more = f" and {len(changes.unknown) - _SHOWN:,} more" if len(changes.unknown) > _SHOWN else ""
        shown = ", ".join(map(shown_id, changes.unknown[:_SHOWN])) + more
        warnings.warn(f"items: not in the catalogue, left out: {shown}", stacklevel=3)
    return changes


def _read(histories: Any, times: Any, now: Catalogue) -> Histories:
    if is_table(histories):
        if times is not None:
            fix = f"give a column {TIMESTAMP}"
            raise DataError("times", expected="the times of a table in the table", got=f"{times!r:.100}", fix=fix)
        return read_table(histories, now.table.frame[ITEM_ID])
    entries = listed(histories)
    if not entries:
        fix = "give [[]] for one history without items"
        raise DataError("histories", expected="a list of item ids, or of such lists", got="[]", fix=fix)
    one = all(isinstance(entry, str) for entry in entries)
    times = [times] if one and times is not None else times
    return read_histories([entries] if one else entries, now.table.idx, times)


def _warn(unknown: list[list[str]]) -> None:
    names = list(dict.fromkeys(item_id for of_history in unknown for item_id in of_history))
    if names:
        more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
        told = ", ".join(map(repr, names[:_SHOWN])) + more
        warnings.warn(f"histories: not in the catalogue, left out: {told}", stacklevel=3)


def open_bundle(
    path: Path,
    *,
    plugins: Sequence[str] = (),
    external: Mapping[str, str | Path] | None = None,
    warm: bool = False,
) -> Recommender:
    """Opens a bundle; see ``open_catalogue``. ``warm``: with all that the first new item would open."""
    catalogue = open_catalogue(path, plugins=plugins, external=external)
    if warm:
        from genrec.serving.warm_up import warmed

        catalogue = warmed(catalogue)
    return Recommender(catalogue)
