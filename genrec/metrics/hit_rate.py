"""Hit rate at k."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from genrec.metrics.lib.tables import mean_over_users
from genrec.protocols.metrics import Hits


class HitRate:
    r"""Whether at least one of a user's targets is among the first ``k``; with one target, the same as recall.

    $$\text{hit@}k = P\big(\min_{t \in T} \text{rank}_t \le k\big)$$

    Deshpande and Karypis, "Item-based top-N recommendation algorithms", ACM TOIS 22(1), 2004. Weights play no part. When the
    cut falls inside a group of s equal items with m targets of which n are listed, the chance of none is
    C(s - n, m) / C(s, m).

    Examples:
        Two targets at ranks 2 and 9; two among three equal items at ranks 3 to 5, of which 3 counts; no hit:

        >>> import polars as pl
        >>> users, rows = pl.Series(["a", "b", "c"]), np.array([0, 0, 1, 1])
        >>> hits = Hits(users, np.array([2, 2, 1]), rows, np.array([2, 9, 3, 3]), np.array([1, 1, 3, 3]))
        >>> HitRate().from_hits(hits, 3).round(4).tolist()
        [1.0, 0.6667, 0.0]
    """

    label: ClassVar[str] = "Hit"

    def from_hits(self, hits: Hits, k: int) -> Float[np.ndarray, " users"]:
        listed = np.clip(k - hits.tie_start + 1, 0, hits.tie_size)  # n: places of the group among the first k
        before = _earlier_in_group(hits)  # i: the group's targets that were looked at already
        unlisted = np.maximum(hits.tie_size - listed - before, 0) / (
            hits.tie_size - before
        )  # that this one is not listed either
        none = np.ones(hits.num_users)
        np.multiply.at(none, hits.user, unlisted)
        return 1.0 - none


def hit_rate(table: Any, targets: Any, k: int) -> float:
    """Returns the mean hit rate at ``k`` of all users with a target: see ``HitRate``.

    Args:
        table: recommendations, with ``user_id``, ``item_id``, and ``rank`` (1-based) or ``score``; polars, pandas or arrow.
        targets: what came true: (``user_id``, ``item_id``) pairs, perhaps with a ``weight``.
        k: list length.

    Examples:
        >>> from genrec.metrics import hit_rate
        >>> table = {"user_id": ["ann", "ann", "bob"], "item_id": ["tea", "milk", "tea"], "rank": [1, 2, 1]}
        >>> round(hit_rate(table, {"user_id": ["ann", "bob"], "item_id": ["milk", "jam"]}, 2), 4)
        0.5
    """
    return mean_over_users(HitRate(), table, targets, k)


def _earlier_in_group(hits: Hits) -> Float[np.ndarray, " hits"]:
    """Returns how many targets of the same tie group stand before each in ``hits``: 0, 1, 2 ..."""
    position = np.arange(len(hits.user))
    first = (np.diff(hits.user, prepend=-1) != 0) | (np.diff(hits.tie_start, prepend=-1) != 0)
    return position - np.maximum.accumulate(np.where(first, position, 0))
