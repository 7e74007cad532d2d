"""All metrics of hits, and all metrics of whole lists, each computed at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import scipy.sparse as sparse
from jaxtyping import Float, Int

from genrec.core.dataset import Dataset
from genrec.core.item_labels import category_shares
from genrec.metrics.average_precision import AveragePrecision
from genrec.metrics.diversity import Diversity, PrefixDiversity
from genrec.metrics.exposure import Coverage, Gini
from genrec.metrics.hit_rate import HitRate
from genrec.metrics.lib.tables import find_hits, first_items
from genrec.metrics.miscalibration import Miscalibration
from genrec.metrics.mrr import MRR
from genrec.metrics.ndcg import NDCG
from genrec.metrics.popularity import Novelty, PopularityLift
from genrec.metrics.precision import Precision
from genrec.metrics.recall import Recall
from genrec.metrics.repeats import RepeatRate
from genrec.metrics.serendipity import Serendipity
from genrec.protocols.metrics import HitMetric, ListMetric, MetricInputs
from genrec.types import USER_ID, Split

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


BEYOND: Mapping[str, ListMetric] = {  # what is counted unless ``evaluate.metrics`` says something else
    "novelty": Novelty(),
    "repeat_rate": RepeatRate(),
    "diversity": Diversity(),
    "prefix_diversity": PrefixDiversity(),
    "serendipity": Serendipity(),
    "miscalibration": Miscalibration(),
    "coverage": Coverage(),
    "gini": Gini(),
    "popularity_lift": PopularityLift(),
}


@dataclass(frozen=True)
class ItemFacts:
    """Facts of the items besides their counts; a fact that is None leaves its figures out.

    Args:
        category: column of the catalogue, for miscalibration.
        vectors: [items, dim] of the encoder, for diversity.
        codes: [items, levels] semantic, for prefix diversity.
    """

    dataset: Dataset
    category: str | None = None
    vectors: Float[np.ndarray, "items dim"] | None = None
    codes: Int[np.ndarray, "items levels"] | None = None

    @cached_property
    def shares(self) -> sparse.csr_array | None:
        """Of the categories; None where no label tells items apart."""
        shares = category_shares(self.dataset.items[self.category]) if self.category else None
        return shares if shares is not None and shares.nnz else None


def beyond_accuracy(
    table: pl.DataFrame,
    popular: pl.DataFrame | None,
    targets: pl.DataFrame,
    facts: ItemFacts,
    split: Split,
    k: int,
    metrics: Mapping[str, ListMetric] = BEYOND,
) -> tuple[pl.DataFrame, dict[str, float]]:
    """The figures of the first ``k`` items of all lists.

    Args:
        table: recommendations of one split; at least ranks up to ``k`` and the rows of targets.
        popular: those of the popularity baseline, for serendipity, or None.
        targets: (``user_id``, ``item_id``) pairs in user order.
        facts: of the items.
        split: whose histories.
        k: length.
        metrics: by name.

    Returns:
        Figures of each user (null where one is not defined, for an empty list say; left out where it is for nobody) with
        ``user_id``, and figures of all lists together, both as ``name@k``.
    """
    users = targets[USER_ID].unique(maintain_order=True)
    inputs = MetricInputs(
        lists=first_items(table, facts.dataset, split, users, k),
        table=table,
        targets=targets,
        dataset=facts.dataset,
        vectors=facts.vectors,
        codes=facts.codes,
        category_shares=facts.shares,
        popular=popular,
    )
    columns, overall = {USER_ID: users}, {}
    for name, metric in metrics.items():
        figure = metric.from_lists(inputs, k)
        if isinstance(figure, np.ndarray):
            columns[f"{name}@{k}"] = pl.Series(figure)
        elif figure is not None:
            overall[f"{name}@{k}"] = float(figure)
    rows = pl.DataFrame(columns).fill_nan(None)
    return rows.select(column for column in rows if column.null_count() < rows.height), overall
