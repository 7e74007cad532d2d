"""Mean average precision at k."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from genrec.metrics.lib.tables import mean_over_users
from genrec.protocols.metrics import Hits


class AveragePrecision:
    r"""Precision at the rank of every target among the first ``k``, added up and divided by the most there could be.

    $$\text{map@}k = \frac{1}{\min(|T|, k)} \sum_{t \in T:\, \text{rank}_t \le k}
    \frac{|\{u \in T : \text{rank}_u \le \text{rank}_t\}|}{\text{rank}_t}$$

    Buckley and Voorhees, "Evaluating evaluation measure stability", SIGIR 2000. The divisor is ``min(targets, k)``, so that the
    best list scores 1 (some tools divide by the number of targets, others, torchmetrics among them, by the number of hits).
    Weights play no part.

    Ties are counted exactly. In a group of s equal items from rank a on, with m targets and B targets before it, rank r holds a
    target with probability m / s, and then B + 1 + (r - a)(m - 1) / (s - 1) targets are expected up to r.

    Examples:
        Targets at ranks 1 and 3; two among three equal items at ranks 1 to 3:

        >>> import polars as pl
        >>> users, rows = pl.Series(["a", "b"]), np.array([0, 0, 1, 1])
        >>> hits = Hits(users, np.array([2, 2]), rows, np.array([1, 3, 1, 1]), np.array([1, 1, 3, 3]))
        >>> AveragePrecision().from_hits(hits, 10).round(4).tolist()
        [0.8333, 0.8056]
    """

    label: ClassVar[str] = "MAP"

    def from_hits(self, hits: Hits, k: int) -> Float[np.ndarray, " users"]:
        new_user = np.diff(hits.user, prepend=-1) != 0
        new_group = new_user | (np.diff(hits.tie_start, prepend=-1) != 0)
        group, position = np.cumsum(new_group) - 1, np.arange(len(hits.user))
        before = position[new_group] - np.maximum.accumulate(np.where(new_user, position, 0))[new_group]  # B
        targets = np.bincount(group, minlength=len(before))  # m
        start, size, user = (column[new_group] for column in (hits.tie_start, hits.tie_size, hits.user))  # a, s

        # With c = (m - 1) / (s - 1), the sum over r of (B + 1 + (r - a) c) / r is
        # (B + 1 - a c) (sum of 1 / r) + c (number of r).
        more = (targets - 1) / np.maximum(size - 1, 1)
        harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, k + 1))])
        first, last = np.minimum(start - 1, k), np.minimum(start + size - 1, k)
        total = targets / size * ((before + 1 - start * more) * (harmonic[last] - harmonic[first]) + more * (last - first))
        return np.bincount(user, weights=total, minlength=hits.num_users) / np.minimum(hits.num_targets, k)


def average_precision(table: Any, targets: Any, k: int) -> float:
    """Returns the mean average precision at ``k`` of all users with a target: see ``AveragePrecision``.

    Args:
        table: recommendations, with ``user_id``, ``item_id``, and ``rank`` (1-based) or ``score``; polars, pandas or arrow.
        targets: what came true: (``user_id``, ``item_id``) pairs, perhaps with a ``weight``.
        k: list length.

    Examples:
        >>> from genrec.metrics import average_precision
        >>> table = {"user_id": ["ann", "ann", "bob"], "item_id": ["tea", "milk", "tea"], "rank": [1, 2, 1]}
        >>> round(average_precision(table, {"user_id": ["ann", "bob"], "item_id": ["milk", "jam"]}, 2), 4)
        0.25
    """
    return mean_over_users(AveragePrecision(), table, targets, k)
