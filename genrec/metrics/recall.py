"""Recall at k."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from genrec.metrics.hits import Hits


def recall(hits: Hits, k: int) -> Float[np.ndarray, " users"]:
    r"""The share of a user's targets among the first ``k`` items; with one target, the hit rate.

    $$\text{recall@}k = \frac{1}{|T|} \sum_{t \in T} P(\text{rank}_t \le k), \qquad
    P = \text{clip}\Big(\frac{k - \text{tie\_start} + 1}{\text{tie\_size}}, 0, 1\Big)$$

    The divisor is the number of targets, also where it exceeds ``k`` (some tools divide by ``min(k, targets)``).

    Examples:
        A target at rank 2, one in the middle of three equal items at ranks 3 to 5, and a user without a hit:

        >>> import polars as pl
        >>> hits = Hits(pl.Series(["a", "b", "c"]), np.array([1, 1, 1]), np.array([0, 1]), np.array([2, 3]), np.array([1, 3]))
        >>> recall(hits, 4).round(4).tolist()
        [1.0, 0.6667, 0.0]
    """
    return hits.per_user(np.clip((k - hits.tie_start + 1) / hits.tie_size, 0.0, 1.0)) / hits.num_targets
