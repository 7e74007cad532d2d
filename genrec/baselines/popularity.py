"""The most frequent items of the training part, the same for everybody (docs/methods/counting_baselines.md)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from genrec.dataset import Dataset, Sequences

TIE_BREAK = 1e-9  # far below any difference between counts or similarities, far above the rounding of their sums


class Popularity:
    """Ranks items by their number of training events."""

    def fit(self, dataset: Dataset) -> None:
        self.counts = np.asarray(dataset.train_counts, dtype=np.float64)

    def score(self, histories: Sequences) -> Float[np.ndarray, "users items"]:
        return np.tile(self.counts, (len(histories), 1))


def tie_breaker(dataset: Dataset) -> Float[np.ndarray, " items"]:
    """What other floors add to their scores: items they cannot tell apart, or know nothing of, go by popularity."""
    counts = dataset.train_counts
    return TIE_BREAK * counts / max(1, counts.max(initial=0))
