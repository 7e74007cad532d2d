"""Mean reciprocal rank at k."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from genrec.metrics.lib.tables import mean_over_users
from genrec.protocols.metrics import Hits


class MRR:
    r"""One over the rank of the user's first hit, 0 when it lies beyond ``k`` (Voorhees, "The TREC-8 question answering track
    report", 1999).

    $$\text{mrr@}k = \mathbb{1}[r \le k] / r, \qquad r = \min_{t \in T} \text{rank}_t$$

    Only the first tie group with a target matters. With m targets among its s equal items, the first of them is the j-th of
    the group with probability C(s - j, m - 1) / C(s, m); the result is the expectation over j.

    Examples:
        A target at rank 2; one among three equal items at ranks 3 to 5; two of those three:

        >>> import polars as pl
        >>> users, rows = pl.Series(["a", "b", "c"]), np.array([0, 1, 2, 2])
        >>> hits = Hits(users, np.array([1, 1, 2]), rows, np.array([2, 3, 3, 3]), np.array([1, 3, 3, 3]))
        >>> MRR().from_hits(hits, 4).round(4).tolist()
        [0.5, 0.1944, 0.3056]
    """

    label: ClassVar[str] = "MRR"

    def from_hits(self, hits: Hits, k: int) -> Float[np.ndarray, " users"]:
        start = np.full(hits.num_users, k + 1, dtype=np.int64)
        np.minimum.at(start, hits.user, hits.tie_start)
        in_first = hits.tie_start == start[hits.user]
        targets = np.bincount(hits.user[in_first], minlength=hits.num_users)  # m
        size = np.ones(hits.num_users, dtype=np.int64)  # s
        size[hits.user[in_first]] = hits.tie_size[in_first]

        result = np.zeros(hits.num_users)
        chance = targets / size  # that the first target is the group's j-th item, for j = 1; then by recurrence
        rows = np.flatnonzero((targets > 0) & (start <= k))
        for j in range(1, k + 1):
            if not len(rows):
                break
            result[rows] += chance[rows] / (start[rows] + j - 1)
            chance[rows] *= (size[rows] - j - targets[rows] + 1) / np.maximum(size[rows] - j, 1)
            rows = rows[(start[rows] + j <= k) & (j < size[rows])]
        return result


def mrr(table: Any, targets: Any, k: int) -> float:
    """Returns the mean reciprocal rank at ``k`` of all users with a target: see ``MRR``.

    Args:
        table: recommendations, with ``user_id``, ``item_id``, and ``rank`` (1-based) or ``score``; polars, pandas or arrow.
        targets: what came true: (``user_id``, ``item_id``) pairs, perhaps with a ``weight``.
        k: list length.

    Examples:
        >>> from genrec.metrics import mrr
        >>> table = {"user_id": ["ann", "ann", "bob"], "item_id": ["tea", "milk", "tea"], "rank": [1, 2, 1]}
        >>> round(mrr(table, {"user_id": ["ann", "bob"], "item_id": ["milk", "jam"]}, 2), 4)
        0.25
    """
    return mean_over_users(MRR(), table, targets, k)
