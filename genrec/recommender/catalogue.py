"""The catalogue that recommendations are made from: model, IDs, trie and items, and the memory that they take.

A catalogue never changes; it is replaced as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from genrec.core.dataset import Sequences
from genrec.core.event_schema import USER_CODES, EventSchema
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.batch_decoding import recommend_users, widened
from genrec.decoding.lib.guidance import with_strength
from genrec.decoding.quota import Quota
from genrec.engine.machine import peak_process_memory
from genrec.errors import ConfigError, DataError, did_you_mean
from genrec.model.trained import Model
from genrec.protocols import DecodingStrategy
from genrec.recommender.event_values import with_values
from genrec.recommender.histories import Histories, read_histories, read_table
from genrec.recommender.item_changes import Changes, ItemRows, item_rows
from genrec.recommender.item_table import ItemTable
from genrec.recommender.requests import HistoryRequest, ListRequest, RecommendRequest
from genrec.recommender.words import TextEncoder, encoded, wish_bias
from genrec.types import ITEM_ID, ITEM_IDX, RANK, SCORE, USER_ID, USER_IDX

HISTORY = "history"  # column: number of the history in the request
_BEAMS_AT_ONCE = 1 << 15  # beams of all users together, where lists are longer than the strategy was set up for
STATUSES = ("active", "removed", "added", "updated")


class Intake(Protocol):
    """Takes in new items. With a method ``with_content`` it also takes in new content of items that are there."""

    def __call__(
        self, catalogue: Catalogue, items: pl.DataFrame, codes: Mapping[str, Sequence[int]] | None = None
    ) -> Catalogue:
        """Returns the catalogue with new items after its own; ``codes`` are the IDs that some of them have had."""
        ...


@runtime_checkable
class ContentIntake(Protocol):
    def with_content(self, catalogue: Catalogue, rows: Sequence[int], *, reassign: bool) -> Catalogue:
        """Returns the catalogue after the content of some items of its table changed, with all that follows."""
        ...


class CodesUsers(Protocol):
    """Gives users codes by their histories."""

    def __call__(self, sequences: Sequences, vectors: Mapping[str, np.ndarray], half_life: float) -> np.ndarray: ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Catalogue:
    """The state that recommendations are made from at one moment. A request keeps the catalogue that it began with.

    Args:
        model: a model with a strategy, trained with the items of the first rows of the table.
        table: the items and their IDs.
        exclude_seen: the seen-item rule where a call names no other.
        removed: item_idx of the items that are not recommended.
        updated: item_idx of the items whose content changed after they came.
        num_bundled: items of the bundle, the first ones; None: all.
        intake: takes in new items; None: the catalogue takes none.
        texts: encodes what callers say in words; None: the package has no encoder.
        user_coder: where the generator knows users by their codes; None: it knows none.
        samples: histories of item ids for trials.
        sample_times: the time of each item of each sample, None where that is missing; empty where the generator looks at no
            times.
        source: ``fingerprint`` of the bundle, when it was ``created``, and by which version of ``genrec``.
    """

    model: Model
    table: ItemTable
    exclude_seen: bool = True
    removed: frozenset[int] = frozenset()
    updated: frozenset[int] = frozenset()
    num_bundled: int | None = None
    intake: Intake | None = None
    texts: TextEncoder | None = None
    user_coder: CodesUsers | None = None
    samples: Sequence[Sequence[str]] = ()
    sample_times: Sequence[Sequence[float | None]] = ()
    source: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(("fingerprint", "created", "genrec"), ""))

    @property
    def generator(self) -> Any:
        """The generator of the model, in eval mode."""
        return self.model.generator

    @property
    def strategy(self) -> DecodingStrategy:
        """The strategy by which the generator is decoded."""
        assert self.model.strategy is not None
        return self.model.strategy

    @property
    def trie(self) -> PrefixTrie | None:
        """The trie of the items' IDs; None for an item scorer."""
        return self.model.trie

    @property
    def vectors(self) -> Mapping[str, np.ndarray]:
        """The encoder's vectors of the items by source; empty when there are none."""
        return self.model.vectors

    @property
    def schema(self) -> EventSchema:
        """The columns of events, requests and users that the generator was trained with."""
        return self.model.schema

    @property
    def num_trained(self) -> int | None:
        """The number of items that the generator was trained with, the first ones; None: all."""
        return self.model.num_trained

    @property
    def num_new(self) -> int:
        """The number of items that came after the generator was trained."""
        return 0 if self.num_trained is None else max(len(self.table) - self.num_trained, 0)

    def without_items(self, item_ids: Iterable[str]) -> tuple[Catalogue, Changes]:
        """Stops recommending these items, as far as the catalogue has them. Histories may still have them.

        Raises:
            DataError: for what is no list of strings.
        """
        rows, unknown = self.table.known_rows(item_ids)
        removed_rows = [row for row in rows if row not in self.removed]
        idle = [row for row in rows if row in self.removed]
        changes = Changes(removed=self._ids(removed_rows), unchanged=self._ids(idle), unknown=tuple(unknown))
        return replace(self, removed=self.removed.union(removed_rows)) if removed_rows else self, changes

    def put_back(self, item_ids: Iterable[str]) -> tuple[Catalogue, Changes]:
        """Recommends removed items again, as far as the catalogue has them.

        Raises:
            DataError: for what is no list of strings.
        """
        rows, unknown = self.table.known_rows(item_ids)
        restored_rows = [row for row in rows if row in self.removed]
        idle = [row for row in rows if row not in self.removed]
        changes = Changes(restored=self._ids(restored_rows), unchanged=self._ids(idle), unknown=tuple(unknown))
        return replace(self, removed=self.removed.difference(restored_rows)) if restored_rows else self, changes

    def with_items(
        self, items: pl.DataFrame | Iterable[Mapping[str, Any]], *, reassign: bool = False
    ) -> tuple[Catalogue, Changes]:
        """Appends new items; known items get the content that is given here, and keep their IDs.

        Nothing that was removed comes back.

        Args:
            items: rows (see ``item_rows``); of a known item what a row does not name stays as it is.
            reassign: give known items whose content changes the ID of their new content.

        Raises:
            DataError: for what cannot be read or given an ID.
            ConfigError: when there is nothing to give IDs with.
        """
        return self.with_rows(item_rows(items, self.table.frame.schema), reassign=reassign)

    def with_rows(
        self, items: ItemRows, *, reassign: bool = False, codes: Mapping[str, Sequence[int]] | None = None
    ) -> tuple[Catalogue, Changes]:
        """Does what ``with_items`` does, for rows that have been read, some of which may have had an ID already."""
        is_known = np.array([item_id in self.table.idx for item_id in items.frame[ITEM_ID]], dtype=bool)
        catalogue, changes = self._with_content(items.select(is_known), reassign=reassign)
        later = items.select(~is_known).frame
        if not later.height:
            return catalogue, changes
        if self.intake is None:
            got, fix = later[ITEM_ID][0], "serve a bundle with its tokenizer, or export one that has the items"
            raise ConfigError("items", expected="items of the catalogue: nothing gives others an ID", got=got, fix=fix)
        return self.intake(catalogue, later, codes), replace(changes, added=tuple(later[ITEM_ID]))

    def with_changes(
        self, items: ItemRows | pl.DataFrame | Iterable[Mapping[str, Any]], *, reassign: bool = False
    ) -> tuple[Catalogue, Changes]:
        """Gives known items other content. Ids that the catalogue does not have are named and left out.

        Raises:
            DataError: for what cannot be read or given an ID.
        """
        rows = items if isinstance(items, ItemRows) else item_rows(items, self.table.frame.schema)
        is_known = np.array([item_id in self.table.idx for item_id in rows.frame[ITEM_ID]], dtype=bool)
        catalogue, changes = self._with_content(rows.select(is_known), reassign=reassign)
        return catalogue, replace(changes, unknown=tuple(rows.frame[ITEM_ID].filter(pl.Series(~is_known))))

    def _with_content(self, new_rows: ItemRows, *, reassign: bool) -> tuple[Catalogue, Changes]:
        rows = [self.table.idx[item_id] for item_id in new_rows.frame[ITEM_ID]]
        table, changed = self.table.with_content(rows, new_rows)
        is_new = set(changed)
        changes = Changes(
            updated=self._ids(changed),
            unchanged=self._ids(row for row in rows if row not in is_new),
            still_removed=self._ids(row for row in rows if row in self.removed),
        )
        if not changed:
            return self, changes
        catalogue = replace(self, table=table, updated=self.updated.union(changed))
        if isinstance(self.intake, ContentIntake):
            catalogue = self.intake.with_content(catalogue, changed, reassign=reassign)
        return catalogue, changes

    def rows_with(self, status: str) -> list[int]:
        """Returns the item_idx of the items of a status, in the order of the catalogue.

        Args:
            status: one of ``STATUSES``.

        Raises:
            ConfigError: for another.
        """
        if status == "active":
            return [row for row in range(len(self.table)) if row not in self.removed]
        if status == "removed":
            return sorted(self.removed)
        if status == "updated":
            return sorted(self.updated)
        if status == "added":
            return list(range(len(self.table) if self.num_bundled is None else self.num_bundled, len(self.table)))
        raise ConfigError("status", expected=f"one of {', '.join(STATUSES)}", got=status, fix=did_you_mean(status, STATUSES))

    def statuses_of(self, row: int) -> list[str]:
        """Returns the statuses by which ``rows_with`` finds an item."""
        is_added = self.num_bundled is not None and row >= self.num_bundled
        flags = {"active": row not in self.removed, "removed": row in self.removed, "added": is_added}
        return [name for name, is_true in (flags | {"updated": row in self.updated}).items() if is_true]

    def _ids(self, rows: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.table.ids(list(rows)))

    @property
    def needs_times(self) -> bool:
        """Whether the generator looks at the times of a history, which every request must then have."""
        return bool(getattr(self.generator, "needs_times", False))

    def allowed_items(self, filter: str | None) -> Bool[Tensor, " items"] | None:
        """Returns a mask of the items that pass the filter and were not removed; None: all items."""
        if filter is None and not self.removed:
            return None
        allowed = np.ones(len(self.table), dtype=bool) if filter is None else self.table.passing_items(filter).copy()
        allowed[list(self.removed)] = False
        return torch.from_numpy(allowed)

    def bias(self, request: ListRequest) -> Float32[Tensor, " items"] | None:
        """Returns what preferences and wish of a request add to the log-probability of each item; None: nothing.

        Raises:
            ConfigError: for a wish that the package cannot read.
        """
        bias = torch.from_numpy(self.table.bias(request.steer)) if request.steer else None
        if request.wish is None:
            return bias
        wished = torch.from_numpy(wish_bias(self._texts_for("wish"), self.vectors, request.wish, request.wish_strength))
        return wished if bias is None else bias + wished

    def _texts_for(self, where: str) -> TextEncoder:
        if self.texts is None or not self.vectors:
            expected, fix = "a package with a text encoder", "export it with export.words=true"
            raise ConfigError(where, expected=expected, got="one without", fix=fix)
        return self.texts

    def guided(self, strategy: DecodingStrategy, request: ListRequest, histories: Sequences) -> DecodingStrategy:
        """Returns the strategy with the guidance that a request asks for, or that something refused needs.

        Raises:
            ConfigError: for a package that hears no requests.
        """
        if request.guidance is None and histories.refused is None:
            return strategy
        if not (self.schema.request or self.schema.text_dim):
            expected, fix = "a package that hears requests or queries", "train with events.request or events.text"
            raise ConfigError("guidance", expected=expected, got="one without", fix=fix)
        return with_strength(strategy, request.guidance)

    def excludes_seen(self, request: ListRequest) -> bool:
        """Whether items of the history are left out of its list."""
        return self.exclude_seen if request.exclude_seen is None else request.exclude_seen

    def read(self, request: RecommendRequest | HistoryRequest) -> Histories:
        """Looks up the items of a request's histories, and encodes what is known beside them.

        Raises:
            DataError: for values of a table that cannot be read, and columns that the package does not have.
        """
        read = self._looked_up(request)
        sequences = with_values(read.sequences, self.schema, events=read.values, request=request.request, user=request.user)
        if self.user_coder is not None and self.schema.user_codes:
            codes = self.user_coder(sequences, self.vectors, self.schema.half_life)
            sequences = replace(sequences, users={**sequences.users, USER_CODES: codes})
        return replace(read, sequences=self._with_query(sequences, request.query))

    def _with_query(self, sequences: Sequences, query: str | Sequence[str | None] | None) -> Sequences:
        queries = [query] * len(sequences) if query is None or isinstance(query, str) else query
        if len(queries) != len(sequences):
            fix = "give one text for all of them, or one for each"
            raise DataError("query", expected=f"texts for {len(sequences)} histories", got=len(queries), fix=fix)
        if not any(queries):
            return sequences
        if not (dim := self.schema.text_dim):
            expected, fix = "a package that was trained with texts", "ask by wish, or train with events.text=COLUMN"
            raise ConfigError("query", expected=expected, got="one without", fix=fix)
        given, refused = encoded(self._texts_for("query"), queries, dim=dim)
        return replace(sequences, given=given, refused=refused)

    def _looked_up(self, request: RecommendRequest | HistoryRequest) -> Histories:
        if isinstance(request, HistoryRequest):
            return read_histories([request.history], self.table.idx, None if request.times is None else [request.times])
        if isinstance(request.histories, pl.DataFrame):
            return read_table(request.histories, self.table.frame[ITEM_ID], self.schema.kinds)
        return read_histories(request.histories, self.table.idx, request.times)

    def recommend(self, request: RecommendRequest, *, searches: int | None = None) -> tuple[pl.DataFrame, Histories]:
        """Returns the lists of a request, and its histories as they were looked up.

        Args:
            request: see there.
            searches: of single histories, at most so many for its quotas; None: as many as it takes (see ``Quota``).

        Returns:
            ``history`` (0, 1, ... as given), ``rank`` from 1, ``item_id`` and ``score``; of a table ``user_id`` in place of
            ``history``.

        Raises:
            DataError, ConfigError: see ``Recommender.recommend``.
        """
        read, size, batch_size = self.read(request), min(request.k, len(self.table)), request.batch_size
        strategy = widened(self.strategy, size)
        if strategy is not self.strategy:  # memory grows with users x beams
            batch_size = max(1, min(batch_size, _BEAMS_AT_ONCE // size))
        table = recommend_users(
            self.generator,
            self._with_quotas(self.guided(strategy, request, read.sequences), request.quota, searches),
            self.trie,
            read.sequences,
            np.arange(len(read.sequences)),
            k=size,
            allowed=self.allowed_items(request.filter),
            bias=self.bias(request),
            exclude_seen=self.excludes_seen(request),
            batch_size=batch_size,
        )
        table = table.filter(pl.col(RANK) <= request.k)  # the last group of items with the same ID is decoded whole
        whose = pl.col(USER_IDX).alias(HISTORY) if read.users is None else read.users.gather(table[USER_IDX]).alias(USER_ID)
        return table.select(whose, RANK, self.table.ids(table[ITEM_IDX]).alias(ITEM_ID), SCORE), read

    def _with_quotas(self, strategy: DecodingStrategy, quota: Mapping[str, int], searches: int | None) -> DecodingStrategy:
        if not quota:
            return strategy
        groups = np.stack([self.table.groups(column) for column in quota])
        return Quota(strategy, torch.from_numpy(groups), list(quota.values()), searches=searches)


def memory_of(catalogue: Catalogue) -> dict[str, int]:
    """Returns the bytes of ``weights`` (with buffers), ``trie``, ``ids``, ``vectors`` and ``items`` (table and index).

    What PyTorch and the other libraries take is in ``process_memory`` alone.

    Args:
        catalogue: of items.
    """
    trie, sids, generator = catalogue.trie, catalogue.table.sids, catalogue.generator
    tensors = chain(generator.parameters(), generator.buffers()) if isinstance(generator, torch.nn.Module) else ()
    return {
        "weights": sum({tensor.data_ptr(): tensor.nbytes for tensor in tensors}.values()),
        "trie": 0 if trie is None else trie.num_bytes,
        "ids": 0 if sids is None else sids.codes.nbytes,
        "vectors": sum(rows.nbytes for rows in catalogue.vectors.values()),
        "items": catalogue.table.num_bytes,
    }


def process_memory() -> int:
    """Returns the bytes of this process in memory, or its peak, or 0, whichever the system reports."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError):
        return peak_process_memory()
