"""mine: what followed the last item most often. Change it into your baseline; the contract suite says when it is one."""

from __future__ import annotations

import numpy as np

from genrec.core.dataset import Dataset, Sequences


class Mine:
    """Counts of the next item after each item in the training part, and popularity where nothing else tells items apart.

    Args:
        popularity_weight: of an item's share of the training events.
    """

    def __init__(self, *, popularity_weight: float = 0.1) -> None:
        self.popularity_weight = popularity_weight

    def fit(self, dataset: Dataset) -> None:
        """Counts on the training part, never on what is held out."""
        train, num_items = dataset.train, dataset.num_items
        follows = train.user_idx[1:] == train.user_idx[:-1]
        self.counts = np.zeros((num_items, num_items))
        np.add.at(self.counts, (train.item_idx[:-1][follows], train.item_idx[1:][follows]), 1.0)
        self.popularity = self.popularity_weight * dataset.train_counts / max(int(dataset.train_counts.sum()), 1)

    def score(self, histories: Sequences) -> np.ndarray:
        """Returns scores [users, items] of whole histories, oldest first; higher is better."""
        scores = np.tile(self.popularity, (len(histories), 1))
        users = np.flatnonzero(histories.lengths)
        scores[users] += self.counts[histories.item_idx[histories.offsets[users + 1] - 1]]
        return scores
