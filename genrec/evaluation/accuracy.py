"""All metrics of hits at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from genrec.metrics.average_precision import AveragePrecision
from genrec.metrics.hit_rate import HitRate
from genrec.metrics.lib.hits import find_hits
from genrec.metrics.mrr import MRR
from genrec.metrics.ndcg import NDCG
from genrec.metrics.precision import Precision
from genrec.metrics.recall import Recall
from genrec.protocols.metrics import HitMetric
from genrec.types import USER_ID

ACCURACY: Mapping[str, HitMetric] = {  # what is counted unless ``evaluate.metrics`` says something else
    "recall": Recall(),
    "ndcg": NDCG(),
    "mrr": MRR(),
    "precision": Precision(),
    "hit": HitRate(),
    "map": AveragePrecision(),
}


def accuracy(
    table: pl.DataFrame, targets: pl.DataFrame, ks: Iterable[int], metrics: Mapping[str, HitMetric] = ACCURACY
) -> pl.DataFrame:
    """Every metric at every k for each user with a target: ``user_id``, ``recall@10``, ...

    Args:
        table: a recommendations table of one split (see ``find_hits``).
        targets: (``user_id``, ``item_id``) pairs, perhaps with a ``weight``.
        ks: list lengths.
        metrics: by name.
    """
    hits = find_hits(table, targets)
    columns = {f"{name}@{k}": metric.from_hits(hits, k) for name, metric in metrics.items() for k in ks}
    return pl.DataFrame({USER_ID: hits.user_ids} | columns)
