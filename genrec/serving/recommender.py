"""A trained recommender, ready to answer. Opening one loads no training code and reads nothing outside its bundle."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
import torch

from genrec.artifacts import Artifact
from genrec.components import allow_package, instantiate
from genrec.dataset import Sequences
from genrec.decoding.predicate import allowed_items
from genrec.decoding.quota import Quota
from genrec.decoding.users import recommend_users
from genrec.errors import ArtifactError, ConfigError, DataError, did_you_mean
from genrec.protocols import DecodingStrategy
from genrec.sids import SIDTable
from genrec.stages.embed import read_vectors
from genrec.stages.export import BUNDLE_FILE, ITEMS_FILE, SCHEMA, sid_frame
from genrec.stages.recommend import with_newcomers
from genrec.stages.train import num_trained, open_generator
from genrec.trie import PrefixTrie
from genrec.types import ITEM_ID, ITEM_IDX, PAD, RANK, SCORE, USER_IDX

HISTORY = "history"  # column: which of the given histories
_SHOWN = 5  # unknown ids named in a warning


class Recommender:
    """Ranks the items of a catalogue for histories of item ids.

    Args:
        generator: in eval mode.
        strategy: how it is decoded.
        items: the catalogue; row number == item_idx, column ``item_id`` and any others.
        sids: the semantic IDs, or None for an item scorer.
        trie: of ``sids``.
        exclude_seen: the seen-item rule where ``recommend`` is told no other.
    """

    def __init__(
        self,
        *,
        generator: torch.nn.Module,
        strategy: DecodingStrategy,
        items: pl.DataFrame,
        sids: SIDTable | None = None,
        trie: PrefixTrie | None = None,
        exclude_seen: bool = True,
    ) -> None:
        self.generator, self.strategy, self.items, self.exclude_seen = generator, strategy, items, exclude_seen
        self._sids, self._trie = sids, trie
        self._removed: frozenset[int] = frozenset()  # replaced, never changed: a request under way keeps what it began with
        self._writing = Lock()

    def __repr__(self) -> str:
        ids = "" if self._sids is None else f", IDs of {' x '.join(map(str, self._sids.sizes))} codes"
        return f"Recommender({type(self.generator).__name__}, {self.items.height:,} items{ids})"

    @cached_property
    def sids(self) -> pl.DataFrame | None:
        """``item_id`` and ``code_0``, ``code_1``, ... of every item; None for an item scorer."""
        return None if self._sids is None else sid_frame(self._sids, self.items[ITEM_ID])

    def recommend(
        self,
        histories: Sequence[str] | Iterable[Iterable[str]],
        k: int = 10,
        *,
        exclude_seen: bool | None = None,
        only: str | None = None,
        steer: Mapping[str, float] | None = None,
        quota: Mapping[str, int] | None = None,
        batch_size: int = 128,
    ) -> pl.DataFrame:
        """The ``k`` most likely next items of each history.

        Args:
            histories: item ids, oldest first: one list, or a list of lists. A history may be empty. The model reads its last
                ``generator.max_history_len`` items, the seen-item rule all of them. Ids that are not in the catalogue are left
                out with a warning.
            k: how many items, at most the catalogue.
            exclude_seen: never return an item of the history itself; None: the rule that the run was evaluated by.
            only: a filter such as ``price < 20 and brand in ["OPI", "Essie"]`` (``genrec.decoding.predicate`` has the language)
                over the columns of ``items`` and ``sids``. Scores stay those of the unfiltered search.
            steer: filters, and what to add to the log-probability of the items that pass each: ``{'brand == "OPI"': 0.5}``.
                Lists are ordered by the sum.
            quota: columns, and how many items of one value a list may have at most: ``{"brand": 2}``. Items without a value are
                not counted.
            batch_size: histories decoded at once.

        Returns:
            ``history`` (0, 1, ... as given), ``rank`` (1-based), ``item_id`` and ``score`` (with IDs, a log-probability).
            A history has fewer than ``k`` rows only when no more items are left. Removed items are never among them.

        Raises:
            ConfigError: when ``k`` is below 1, or more than the decoding strategy finds; for filters that cannot be read or
                that nothing passes, and unknown columns.
            DataError: when something else than strings stands in a history.
        """
        if k < 1:
            raise ConfigError("recommend: k", expected="at least 1", got=k, fix="ask for an item")
        sequences = self._sequences(histories)
        allowed = None if only is None else torch.from_numpy(allowed_items(only, self._described).copy())
        if removed := self._removed:
            allowed = torch.ones(self.items.height, dtype=torch.bool) if allowed is None else allowed
            allowed[list(removed)] = False
        table = recommend_users(
            self.generator,
            self._with_quotas(quota or {}),
            self._trie,
            sequences,
            np.arange(len(sequences)),
            k=min(k, self.items.height),
            allowed=allowed,
            bias=self._bias(steer) if steer else None,
            exclude_seen=self.exclude_seen if exclude_seen is None else exclude_seen,
            batch_size=batch_size,
        )
        table = table.filter(pl.col(RANK) <= k)  # a last group of items that share an ID is listed whole
        return table.select(
            pl.col(USER_IDX).alias(HISTORY), RANK, self.items[ITEM_ID].gather(table[ITEM_IDX]).alias(ITEM_ID), SCORE
        )

    @property
    def removed(self) -> list[str]:
        """The items that are not recommended, in the order of the catalogue."""
        return self.items[ITEM_ID].gather(sorted(self._removed)).to_list()

    def remove_items(self, item_ids: Iterable[str]) -> None:
        """Stops recommending these items at once: no call that begins afterwards lists one. Histories may still have them.

        Raises:
            DataError: for an id that the catalogue does not have; nothing is removed then.
        """
        self._set_removed(item_ids, frozenset.union)

    def put_back(self, item_ids: Iterable[str]) -> None:
        """Recommends removed items again.

        Raises:
            DataError: for an id that the catalogue does not have; nothing is put back then.
        """
        self._set_removed(item_ids, frozenset.difference)

    def _set_removed(self, item_ids: Iterable[str], combine: Callable[[frozenset[int], set[int]], frozenset[int]]) -> None:
        rows = set()
        for item_id in _listed(item_ids):
            if item_id not in self._item_idx:
                fix = "`recommender.items` has the ids"
                raise DataError("items", expected="ids of the catalogue", got=repr(item_id), fix=fix)
            rows.add(self._item_idx[item_id])
        with self._writing:
            self._removed = combine(self._removed, rows)

    @cached_property
    def _described(self) -> pl.DataFrame:
        """What filters may speak of: the columns of the items, and their codes."""
        return self.items if self.sids is None else self.items.hstack(self.sids.drop(ITEM_ID))

    def _bias(self, steer: Mapping[str, float]) -> torch.Tensor:
        bias = np.zeros(self.items.height, dtype=np.float32)
        for predicate, amount in steer.items():
            bias += np.float32(amount) * allowed_items(predicate, self._described)
        return torch.from_numpy(bias)

    def _with_quotas(self, quota: Mapping[str, int]) -> DecodingStrategy:
        strategy = self.strategy
        for column, limit in quota.items():
            if column not in self._described.columns:
                fix = did_you_mean(column, self._described.columns)
                raise ConfigError("quota", expected="a column of the items", got=column, fix=fix)
            values = self._described[column]
            if values.dtype.is_nested():
                raise ConfigError(f"quota {column}", expected="one value an item", got=values.dtype, fix="use another column")
            groups = values.rank("dense").cast(pl.Int64).fill_null(PAD + 1).to_numpy() - 1
            strategy = Quota(strategy, torch.from_numpy(groups.copy()), limit)
        return strategy

    @cached_property
    def _item_idx(self) -> dict[str, int]:
        return {item_id: idx for idx, item_id in enumerate(self.items[ITEM_ID].to_list())}

    def _sequences(self, histories: Iterable[Any]) -> Sequences:
        """The histories as rows of the catalogue; warns of ids that are not in it."""
        entries = _listed(histories)
        one = all(isinstance(entry, str) for entry in entries)
        rows, unknown = [], []
        for history in [entries] if one else map(_listed, entries):
            for item_id in history:
                if not isinstance(item_id, str):
                    raise DataError("histories", expected="item ids as strings", got=repr(item_id), fix="convert them")
            rows.append([self._item_idx[item_id] for item_id in history if item_id in self._item_idx])
            unknown += [item_id for item_id in history if item_id not in self._item_idx]
        if unknown:
            names = list(dict.fromkeys(unknown))
            more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
            told = ", ".join(map(repr, names[:_SHOWN])) + more
            warnings.warn(f"histories: not in the catalogue, left out: {told}", stacklevel=3)
        flat = np.array([item for row in rows for item in row], dtype=np.int32)
        return Sequences(flat, np.cumsum([0, *map(len, rows)], dtype=np.int64))


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise DataError("histories", expected="a list of item ids", got=repr(value), fix="give one list, or a list of lists")
    return list(value)


def open_bundle(path: Path, *, plugins: Sequence[str] = ()) -> Recommender:
    """Opens a bundle, on the CPU.

    Args:
        path: its folder.
        plugins: packages beside genrec whose classes its configuration may name.

    Raises:
        ArtifactError: when a file is missing or damaged, or the bundle is of another schema.
        ConfigError: when it names classes of a package that is not allowed.
    """
    Artifact(path).check(hashes=True)
    bundle = json.loads((path / BUNDLE_FILE).read_text())
    if bundle["schema"] != SCHEMA:
        raise ArtifactError(
            path / BUNDLE_FILE,
            expected=f"a bundle of schema {SCHEMA}",
            got=f"schema {bundle['schema']} by genrec {bundle['genrec']}",
            fix="export it again with this version, or open it with that one",
        )
    for package in plugins:
        allow_package(package)
    sids = SIDTable.load(path / "sids") if (path / "sids").is_dir() else None
    trie = PrefixTrie.build(sids) if sids else None
    strategy = instantiate(bundle["config"]["decoding"], "decoding")
    if (path / "calibration").is_dir():
        strategy.restore(path / "calibration")
    trained, items = num_trained(bundle["facts"]["generator"]), pl.read_parquet(path / ITEMS_FILE)
    if trained < items.height and (path / "encoder").is_dir():
        strategy = with_newcomers(strategy, read_vectors(path / "encoder"), trained, bundle["new_share"])
    return Recommender(
        generator=open_generator(path / "generator", sids, trie, path / "encoder" if (path / "encoder").is_dir() else None),
        strategy=strategy,
        items=items,
        sids=sids,
        trie=trie,
        exclude_seen=bundle["exclude_seen"],
    )
