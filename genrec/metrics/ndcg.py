"""Normalized discounted cumulative gain at k."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from genrec.metrics.lib.tables import mean_over_users
from genrec.protocols.metrics import Hits


class NDCG:
    r"""Gain of the targets listed in the first ``k``, discounted by rank, over that of the best possible list.

    $$\text{ndcg@}k = \frac{\sum_{t \in T:\, \text{rank}_t \le k} w_t / \log_2(1 + \text{rank}_t)}
    {\sum_{r=1}^{\min(|T|, k)} w_{(r)} / \log_2(1 + r)}$$

    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002. A target's gain is its
    weight (1 without weights; not 2^w - 1), and the best list has the largest weights first. With one target the divisor is its
    weight. The gain of a target in a tie group is the mean over the group's ranks.

    Examples:
        A target at rank 2 (1 / log2 3), and one among three equal items at ranks 3 to 5, of which 3 and 4 count:

        >>> import polars as pl
        >>> hits = Hits(pl.Series(["a", "b"]), np.array([1, 1]), np.array([0, 1]), np.array([2, 3]), np.array([1, 3]))
        >>> NDCG().from_hits(hits, 4).round(4).tolist()
        [0.6309, 0.3102]

        A click (weight 1) at rank 1 and a purchase (weight 3) at rank 2; the other way round were best:

        >>> rows, ranks, ones = np.array([0, 0]), np.array([1, 2]), np.array([1, 1])
        >>> hits = Hits(pl.Series(["a"]), np.array([2]), rows, ranks, ones, np.array([1.0, 3.0]), np.array([3.0, 1.0]))
        >>> NDCG().from_hits(hits, 4).round(4).tolist()
        [0.7967]
    """

    label: ClassVar[str] = "NDCG"

    def from_hits(self, hits: Hits, k: int) -> Float[np.ndarray, " users"]:
        gain_until = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])  # gain_until[r]: ranks 1..r
        first, last = np.minimum(hits.tie_start - 1, k), np.minimum(hits.tie_start + hits.tie_size - 1, k)
        gains = (gain_until[last] - gain_until[first]) / hits.tie_size
        return hits.per_user(hits.weighted(gains)) / _best(hits, gain_until)


def ndcg(table: Any, targets: Any, k: int) -> float:
    """Returns the mean NDCG at ``k`` of all users with a target: see ``NDCG``.

    Args:
        table: recommendations, with ``user_id``, ``item_id``, and ``rank`` (1-based) or ``score``; polars, pandas or arrow.
        targets: what came true: (``user_id``, ``item_id``) pairs, perhaps with a ``weight``.
        k: list length.

    Examples:
        >>> from genrec.metrics import ndcg
        >>> table = {"user_id": ["ann", "ann", "bob"], "item_id": ["tea", "milk", "tea"], "rank": [1, 2, 1]}
        >>> round(ndcg(table, {"user_id": ["ann", "bob"], "item_id": ["milk", "jam"]}, 2), 4)
        0.3155
    """
    return mean_over_users(NDCG(), table, targets, k)


def _best(hits: Hits, gain_until: Float[np.ndarray, " ranks"]) -> Float[np.ndarray, " users"]:
    """The discounted gain of each user's targets in the order of their weights."""
    until = np.minimum(hits.num_targets, len(gain_until) - 1)
    if hits.target_weights is None:
        return gain_until[until]
    position = np.arange(len(hits.target_weights)) - np.repeat(hits.first_target, hits.num_targets)
    discount = np.diff(gain_until, append=gain_until[-1])[np.minimum(position, len(gain_until) - 1)]
    return np.add.reduceat(hits.target_weights * discount, hits.first_target)
