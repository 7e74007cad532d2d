"""mine: rank-biased precision. Change it into your metric; the contract suite says when it is one."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from genrec.protocols.metrics import Hits


class Mine:
    r"""How much of a list a reader sees that came true, who goes on to the next rank with probability ``persistence``.

    $$\text{rbp@}k = (1 - p) \sum_{t \in T:\, \text{rank}_t \le k} p^{\text{rank}_t - 1}$$

    Moffat and Zobel, "Rank-biased precision for measurement of retrieval effectiveness", ACM TOIS 27(1), 2008. A metric of
    whole lists has ``from_lists(inputs, k)`` instead (``ListMetric``).

    Args:
        persistence: p, in (0, 1).

    Examples:
        >>> import polars as pl
        >>> one = np.array([1])
        >>> hits = Hits(pl.Series(["ann"]), one, np.array([0]), np.array([2]), one)  # a target at rank 2
        >>> Mine(persistence=0.8).from_hits(hits, 10).round(2).tolist()
        [0.16]
    """

    label: ClassVar[str] = "Mine"  # what pages call it

    def __init__(self, *, persistence: float = 0.8) -> None:
        self.persistence = persistence

    def from_hits(self, hits: Hits, k: int) -> np.ndarray:
        """Returns a figure for each user; a target among equal items counts by its expected rank."""
        rank = hits.tie_start + (hits.tie_size - 1) / 2
        return hits.per_user((1 - self.persistence) * self.persistence ** (rank - 1) * hits.listed_until(k))
