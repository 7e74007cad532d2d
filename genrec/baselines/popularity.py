"""The most frequent items of the training part, the same for everybody (docs/methods/counting_baselines.md)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from genrec.core.dataset import Dataset, Sequences


class Popularity:
    """Ranks items by their number of training events."""

    def fit(self, dataset: Dataset) -> None:
        self.counts = np.asarray(dataset.train_counts, dtype=np.float64)

    def score(self, histories: Sequences) -> Float[np.ndarray, "users items"]:
        return np.tile(self.counts, (len(histories), 1))
