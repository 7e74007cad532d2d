"""What is recommended from at one moment: model, IDs, trie and items. Never changed, only replaced as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool
from torch import Tensor

from genrec.dataset import Sequences
from genrec.decoding.quota import Quota
from genrec.decoding.users import recommend_users
from genrec.errors import ConfigError
from genrec.protocols import DecodingStrategy
from genrec.serving.item_table import ItemTable
from genrec.serving.new_items import item_rows
from genrec.trie import PrefixTrie
from genrec.types import ITEM_ID, ITEM_IDX, RANK, SCORE, USER_IDX

HISTORY = "history"  # column: which of the given histories
# (catalogue, rows of the catalogue's columns whose ids it lacks) -> the same catalogue with these items behind its own
Intake = Callable[["Catalogue", pl.DataFrame], "Catalogue"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Catalogue:
    """A request keeps the one that it began with, whatever is added, removed or reloaded meanwhile.

    Args:
        generator: in eval mode.
        strategy: how it is decoded.
        table: the items and their IDs.
        trie: of these, or None for an item scorer.
        exclude_seen: the seen-item rule where a call names no other.
        removed: item_idx that are not recommended.
        vectors: of the items by source, as the encoder made them; empty when there are none.
        intake: takes in items that came later; None: it cannot.
        samples: histories of item ids to try it with.
    """

    generator: Any
    strategy: DecodingStrategy
    table: ItemTable
    trie: PrefixTrie | None = None
    exclude_seen: bool = True
    removed: frozenset[int] = frozenset()
    vectors: Mapping[str, np.ndarray] = field(default_factory=dict)
    intake: Intake | None = None
    samples: Sequence[Sequence[str]] = ()

    def without(self, item_ids: Iterable[str]) -> Catalogue:
        """Recommends these items no longer; histories may still have them."""
        return replace(self, removed=self.removed.union(self.table.rows(item_ids)))

    def put_back(self, item_ids: Iterable[str]) -> Catalogue:
        """Recommends removed items again."""
        return replace(self, removed=self.removed.difference(self.table.rows(item_ids)))

    def with_items(self, items: pl.DataFrame | Iterable[Mapping[str, Any]]) -> Catalogue:
        """Items that came later behind those that are there; known ones keep their content and are put back.

        Raises:
            DataError: for what cannot be read or given an ID.
            ConfigError: when there is nothing to give IDs with.
        """
        rows = item_rows(items, self.table.frame.schema)
        is_known = pl.Series([item_id in self.table.idx for item_id in rows[ITEM_ID]], dtype=pl.Boolean)
        catalogue, later = self.put_back(rows.filter(is_known)[ITEM_ID]), rows.filter(~is_known)
        if not later.height:
            return catalogue
        if self.intake is None:
            got, fix = later[ITEM_ID][0], "serve a bundle with its tokenizer, or export one that has the items"
            raise ConfigError("items", expected="items of the catalogue: nothing gives others an ID", got=got, fix=fix)
        return self.intake(catalogue, later)

    def allowed(self, only: str | None) -> Bool[Tensor, " items"] | None:
        """What passes the filter and was not removed; None: everything."""
        if only is None and not self.removed:
            return None
        allowed = np.ones(len(self.table), dtype=bool) if only is None else self.table.passing(only).copy()
        allowed[list(self.removed)] = False
        return torch.from_numpy(allowed)

    def recommend(
        self,
        histories: Sequences,
        *,
        k: int,
        exclude_seen: bool | None = None,
        only: str | None = None,
        steer: Mapping[str, float] | None = None,
        quota: Mapping[str, int] | None = None,
        batch_size: int = 128,
    ) -> pl.DataFrame:
        """See ``Recommender.recommend``; of histories that have been looked up."""
        if k < 1:
            raise ConfigError("recommend: k", expected="at least 1", got=k, fix="ask for an item")
        table = recommend_users(
            self.generator,
            self._with_quotas(quota or {}),
            self.trie,
            histories,
            np.arange(len(histories)),
            k=min(k, len(self.table)),
            allowed=self.allowed(only),
            bias=torch.from_numpy(self.table.bias(steer)) if steer else None,
            exclude_seen=self.exclude_seen if exclude_seen is None else exclude_seen,
            batch_size=batch_size,
        )
        table = table.filter(pl.col(RANK) <= k)  # a last group of items that share an ID is listed whole
        return table.select(pl.col(USER_IDX).alias(HISTORY), RANK, self.table.ids(table[ITEM_IDX]).alias(ITEM_ID), SCORE)

    def _with_quotas(self, quota: Mapping[str, int]) -> DecodingStrategy:
        strategy = self.strategy
        for column, limit in quota.items():
            strategy = Quota(strategy, torch.from_numpy(self.table.groups(column).copy()), limit)
        return strategy
