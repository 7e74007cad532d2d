"""Decayed transition counts: what came after, in everybody's training history, what this user had last."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float

from genrec.baselines.popularity import tie_breaker
from genrec.baselines.recency import recency_weights
from genrec.dataset import Dataset, Sequences
from genrec.errors import ConfigError


class Transitions:
    """A Markov chain that looks several steps ahead and several steps back (from the brief in the design notes).

    ``C[a, b]`` adds ``gap_decay ** (g - 1)`` whenever ``b`` follows ``a`` at a distance of ``g <= window`` events of one user;
    ``score(b | history) = sum over the m-th last items a of decay ** m * n(C[a, b])``. First order: ``window = last = 1``.

    Args:
        window: largest distance counted, in events, >= 1.
        gap_decay: weight of a distance relative to the next shorter one, in (0, 1].
        last: how many of the most recent items count, >= 1.
        decay: weight of an item relative to the next more recent one, in (0, 1].
        normalization: ``source`` divides a row by the training events of its item, so that a popular item of the history does
            not outvote the others; ``log`` takes log(1 + C).
    """

    def __init__(
        self,
        *,
        window: int = 5,
        gap_decay: float = 0.5,
        last: int = 5,
        decay: float = 0.5,
        normalization: Literal["source", "log"] = "source",
    ) -> None:
        for name, value in (("window", window), ("last", last)):
            if value < 1:
                raise ConfigError(name, expected="1 or more", got=value, fix="choose another")
        for name, share in (("gap_decay", gap_decay), ("decay", decay)):
            if not 0 < share <= 1:
                raise ConfigError(name, expected="a number in (0, 1]", got=share, fix="choose another")
        self.window, self.gap_decay, self.last, self.decay = window, gap_decay, last, decay
        self.normalization = normalization

    def fit(self, dataset: Dataset) -> None:
        train, size = dataset.train, dataset.num_items
        user, item = train.user_idx, train.item_idx
        counts = sparse.csr_array((size, size), dtype=np.float64)
        for gap in range(1, self.window + 1):
            same = user[:-gap] == user[gap:]
            pairs = (item[:-gap][same], item[gap:][same])
            weights = np.full(len(pairs[0]), self.gap_decay ** (gap - 1))
            counts = counts + sparse.csr_array((weights, pairs), shape=(size, size))
        if self.normalization == "source":
            counts = sparse.diags_array(1.0 / np.maximum(dataset.train_counts, 1)) @ counts
        else:
            counts.data = np.log1p(counts.data)
        self.counts = counts.tocsr()
        self.tie_breaker = tie_breaker(dataset)

    def score(self, histories: Sequences) -> Float[np.ndarray, "users items"]:
        recent = recency_weights(histories, len(self.tie_breaker), last=self.last, decay=self.decay)
        scores = (recent @ self.counts).toarray()
        scores += self.tie_breaker
        return scores
