"""All accuracy metrics at once."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from genrec.metrics.average_precision import average_precision
from genrec.metrics.hit_rate import hit_rate
from genrec.metrics.hits import find_hits
from genrec.metrics.mrr import mrr
from genrec.metrics.ndcg import ndcg
from genrec.metrics.precision import precision
from genrec.metrics.recall import recall
from genrec.types import USER_ID

ACCURACY = {
    "recall": recall,
    "ndcg": ndcg,
    "mrr": mrr,
    "precision": precision,
    "hit": hit_rate,
    "map": average_precision,
}


def accuracy(
    table: pl.DataFrame, targets: pl.DataFrame, ks: Iterable[int], metrics: Iterable[str] = tuple(ACCURACY)
) -> pl.DataFrame:
    """Every metric at every k for each user with a target: ``user_id``, ``recall@10``, ...

    Args:
        table: a recommendations table of one split (see ``find_hits``).
        targets: (``user_id``, ``item_id``) pairs, perhaps with a ``weight``.
        ks: list lengths.
        metrics: names of ``ACCURACY``.
    """
    hits = find_hits(table, targets)
    return pl.DataFrame({USER_ID: hits.user_ids} | {f"{name}@{k}": ACCURACY[name](hits, k) for name in metrics for k in ks})
