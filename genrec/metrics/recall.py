"""Recall at k."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from genrec.metrics.lib.tables import mean_over_users
from genrec.protocols.metrics import Hits


class Recall:
    r"""The share of a user's targets among the first ``k`` items; with one target, the hit rate.

    $$\text{recall@}k = \frac{\sum_{t \in T} w_t P(\text{rank}_t \le k)}{\sum_{t \in T} w_t}, \qquad
    P = \text{clip}\Big(\frac{k - \text{tie\_start} + 1}{\text{tie\_size}}, 0, 1\Big)$$

    With weights it is the share of the targets' total weight. The divisor is that of all targets, also where there are more
    than ``k`` (some tools divide by ``min(k, targets)``).

    Examples:
        A target at rank 2, one in the middle of three equal items at ranks 3 to 5, and a user without a hit:

        >>> import polars as pl
        >>> hits = Hits(pl.Series(["a", "b", "c"]), np.array([1, 1, 1]), np.array([0, 1]), np.array([2, 3]), np.array([1, 3]))
        >>> Recall().from_hits(hits, 4).round(4).tolist()
        [1.0, 0.6667, 0.0]

        A purchase (weight 3) that was listed and a click (weight 1) that was not:

        >>> two, one = np.array([2]), np.array([1])
        >>> hits = Hits(pl.Series(["a"]), two, np.array([0]), one, one, np.array([3.0]), np.array([3.0, 1.0]))
        >>> Recall().from_hits(hits, 4).tolist()
        [0.75]
    """

    label: ClassVar[str] = "Recall"

    def from_hits(self, hits: Hits, k: int) -> Float[np.ndarray, " users"]:
        return hits.per_user(hits.weighted(hits.listed_until(k))) / hits.total_weight


def recall(table: Any, targets: Any, k: int) -> float:
    """Returns the mean recall at ``k`` of all users with a target: see ``Recall``.

    Args:
        table: recommendations, with ``user_id``, ``item_id``, and ``rank`` (1-based) or ``score``; polars, pandas or arrow.
        targets: what came true: (``user_id``, ``item_id``) pairs, perhaps with a ``weight``.
        k: list length.

    Examples:
        >>> from genrec.metrics import recall
        >>> table = {"user_id": ["ann", "ann", "bob"], "item_id": ["tea", "milk", "tea"], "rank": [1, 2, 1]}
        >>> round(recall(table, {"user_id": ["ann", "bob"], "item_id": ["milk", "jam"]}, 2), 4)
        0.5
    """
    return mean_over_users(Recall(), table, targets, k)
