"""Precision at k."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from genrec.metrics.hits import Hits


def precision(hits: Hits, k: int) -> Float[np.ndarray, " users"]:
    r"""The share of the first ``k`` places that hold a target (Cleverdon, Mills and Keen, "Factors determining the performance
    of indexing systems", 1966).

    $$\text{precision@}k = \frac{1}{k} \sum_{t \in T} P(\text{rank}_t \le k)$$

    The divisor is ``k``, also for shorter lists; with one target a user, precision is recall divided by ``k``. Weights play no
    part. Ties count as in ``recall``.

    Examples:
        Targets at ranks 1 and 2, and one in the middle of three equal items at ranks 3 to 5:

        >>> import polars as pl
        >>> users, rows = pl.Series(["a", "b"]), np.array([0, 0, 1])
        >>> hits = Hits(users, np.array([2, 1]), rows, np.array([1, 2, 3]), np.array([1, 1, 3]))
        >>> precision(hits, 4).round(4).tolist()
        [0.5, 0.1667]
    """
    return hits.per_user(hits.listed_until(k)) / k
