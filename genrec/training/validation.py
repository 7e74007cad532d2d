"""Validation during training: the real metric, decoded like a user's request, on a fixed sample of users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from genrec.dataset import Dataset
from genrec.decoding.users import recommend_users, users_with_targets, with_ids
from genrec.metrics.hits import find_hits, targets_of
from genrec.metrics.ndcg import ndcg
from genrec.metrics.recall import recall
from genrec.nn.dropout import without_dropout
from genrec.protocols import DecodingStrategy
from genrec.trie import PrefixTrie
from genrec.types import USER_ID

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
        batch_size: users per decoding batch.
    """

    dataset: Dataset
    strategy: DecodingStrategy
    trie: PrefixTrie | None
    num_users: int
    batch_size: int = 128

    def __post_init__(self) -> None:
        users = users_with_targets(self.dataset, "validation")
        if len(users) > self.num_users:
            users = np.sort(np.random.default_rng(SAMPLE_SEED).choice(users, self.num_users, replace=False))
        self.users = users
        self.histories = self.dataset.histories("validation")
        sampled = self.dataset.user_ids.gather(users)
        self.targets = targets_of(self.dataset, "validation").filter(pl.col(USER_ID).is_in(sampled.implode()))

    def measure(self, generator: torch.nn.Module) -> dict[str, float]:
        """``val/recall@10`` and ``val/ndcg@10`` with seen items excluded; empty when nobody has a validation target."""
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
                exclude_seen=True,
                batch_size=self.batch_size,
            )
        hits = find_hits(with_ids(table, self.dataset), self.targets)
        return {f"val/recall@{TOP}": float(recall(hits, TOP).mean()), f"val/ndcg@{TOP}": float(ndcg(hits, TOP).mean())}
