"""Normalized discounted cumulative gain at k."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from genrec.metrics.hits import Hits


def ndcg(hits: Hits, k: int) -> Float[np.ndarray, " users"]:
    r"""Gain of the targets listed in the first ``k``, discounted by rank, over that of the best possible list.

    $$\text{ndcg@}k = \frac{\sum_{t \in T:\, \text{rank}_t \le k} 1 / \log_2(1 + \text{rank}_t)}
    {\sum_{r=1}^{\min(|T|, k)} 1 / \log_2(1 + r)}$$

    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002, with binary relevance.
    With one target the divisor is 1. The gain of a target in a tie group is the mean over the group's ranks.

    Examples:
        A target at rank 2 (1 / log2 3), and one among three equal items at ranks 3 to 5, of which 3 and 4 count:

        >>> import polars as pl
        >>> hits = Hits(pl.Series(["a", "b"]), np.array([1, 1]), np.array([0, 1]), np.array([2, 3]), np.array([1, 3]))
        >>> ndcg(hits, 4).round(4).tolist()
        [0.6309, 0.3102]
    """
    gain_until = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])  # gain_until[r]: ranks 1..r
    first, last = np.minimum(hits.tie_start - 1, k), np.minimum(hits.tie_start + hits.tie_size - 1, k)
    gains = (gain_until[last] - gain_until[first]) / hits.tie_size
    return hits.per_user(gains) / gain_until[np.minimum(hits.num_targets, k)]
