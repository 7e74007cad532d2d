"""Precision at k."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from genrec.metrics.lib.tables import mean_over_users
from genrec.protocols.metrics import Hits


class Precision:
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
        >>> Precision().from_hits(hits, 4).round(4).tolist()
        [0.5, 0.1667]
    """

    label: ClassVar[str] = "Precision"

    def from_hits(self, hits: Hits, k: int) -> Float[np.ndarray, " users"]:
        return hits.per_user(hits.listed_until(k)) / k


def precision(table: Any, targets: Any, k: int) -> float:
    """Returns the mean precision at ``k`` of all users with a target: see ``Precision``.

    Args:
        table: recommendations, with ``user_id``, ``item_id``, and ``rank`` (1-based) or ``score``; polars, pandas or arrow.
        targets: what came true: (``user_id``, ``item_id``) pairs, perhaps with a ``weight``.
        k: list length.

    Examples:
        >>> from genrec.metrics import precision
        >>> table = {"user_id": ["ann", "ann", "bob"], "item_id": ["tea", "milk", "tea"], "rank": [1, 2, 1]}
        >>> round(precision(table, {"user_id": ["ann", "bob"], "item_id": ["milk", "jam"]}, 2), 4)
        0.25
    """
    return mean_over_users(Precision(), table, targets, k)
