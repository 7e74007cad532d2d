"""Validation during training: the real metric, decoded like a user's request, on a fixed sample of users."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from genrec.core.dataset import Dataset, check_unseen_targets, users_with_targets
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.batch_decoding import recommend_users, with_ids
from genrec.metrics.lib.tables import find_hits, targets_of
from genrec.metrics.ndcg import NDCG
from genrec.metrics.recall import Recall
from genrec.nn.blocks import without_dropout
from genrec.protocols import DecodingStrategy
from genrec.types import SCORE, USER_ID

SAMPLE_SEED = 0  # the same users whatever the run's seed, so that runs can be compared
TOP = 10


@dataclass
class Validator:
    """Measures Recall@10 and NDCG@10 on validation targets.

    Args:
        dataset: prepared data.
        strategy: how to decode.
        trie: the catalogue's trie, or None for item scorers.
        num_users: size of the sample; all users with a validation target when there are fewer.
        exclude_seen: the rule of the lists that the model is for: whether an item of the user's own history may be listed.
        batch_size: users per decoding batch.

    Raises:
        DataError: when the rule forbids every target of the sample, so that all rounds would be equal.
    """

    dataset: Dataset
    strategy: DecodingStrategy
    trie: PrefixTrie | None
    num_users: int
    exclude_seen: bool = True
    batch_size: int = 128

    def __post_init__(self) -> None:
        users = users_with_targets(self.dataset, "validation")
        if len(users) > self.num_users:
            users = np.sort(np.random.default_rng(SAMPLE_SEED).choice(users, self.num_users, replace=False))
        self.users = users
        self.histories = self.dataset.histories("validation")
        sampled = self.dataset.user_ids.gather(users)
        self.targets = targets_of(self.dataset, "validation").filter(pl.col(USER_ID).is_in(sampled.implode()))
        if self.exclude_seen:
            check_unseen_targets(self.dataset, users)

    def __str__(self) -> str:
        seen = "excluded" if self.exclude_seen else "kept"
        return f"validation on {len(self.users):,} users, seen items {seen}"

    def measure(self, generator: torch.nn.Module, check: Callable[[pl.Series], None] = lambda scores: None) -> dict[str, float]:
        """``val/recall@10`` and ``val/ndcg@10`` by the rule on seen items; empty when nobody has a validation target.

        ``check`` is shown the scores of all that was listed.
        """
        if not len(self.users):
            return {}
        device = next(generator.parameters()).device
        if self.trie is not None and self.trie.device != device:
            self.trie = self.trie.to(device)
        with without_dropout(generator):
            table = recommend_users(
                generator,
                self.strategy,
                self.trie,
                self.histories,
                self.users,
                k=TOP,
                exclude_seen=self.exclude_seen,
                batch_size=self.batch_size,
            )
        check(table[SCORE])
        hits = find_hits(with_ids(table, self.dataset), self.targets)
        recall, ndcg = (float(metric.from_hits(hits, TOP).mean()) for metric in (Recall(), NDCG()))
        return {f"val/recall@{TOP}": recall, f"val/ndcg@{TOP}": ndcg}
