"""Measures one recommender: all metrics at once, their intervals, and its lead over the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

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
from genrec.statistics.uncertainty import bootstrap_intervals
from genrec.types import ITEM_ID, SHORT_SPLIT, USER_ID, Split

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
        """The shares of the categories; None where all items have the same label."""
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


METRICS: Mapping[str, HitMetric | ListMetric] = {**ACCURACY, **BEYOND}


@dataclass(frozen=True)
class Ruler:
    """Measures lists of the model and of baselines by the same rules.

    Args:
        targets: (``user_id``, ``item_id``) pairs of each split, in user order, perhaps with a ``weight``.
        ks: list lengths of the accuracy metrics.
        headline_k: that of the figures beyond accuracy.
        facts: of the items.
        metrics: of hits and of whole lists, by name.
    """

    targets: Mapping[Split, pl.DataFrame]
    ks: list[int]
    headline_k: int
    facts: ItemFacts
    metrics: Mapping[str, HitMetric | ListMetric] = field(default_factory=lambda: METRICS)

    @property
    def of_hits(self) -> dict[str, HitMetric]:
        """The metrics of the ranks of the targets."""
        return {name: metric for name, metric in self.metrics.items() if isinstance(metric, HitMetric)}

    @property
    def of_lists(self) -> dict[str, ListMetric]:
        """The metrics of whole lists."""
        return {name: metric for name, metric in self.metrics.items() if isinstance(metric, ListMetric)}


@dataclass(frozen=True)
class Measured:
    """The figures of one recommender, by split.

    Args:
        accuracy: ``user_id`` and a column per metric and k; users with a target, in the order of the targets.
        beyond: the same users, figures beyond accuracy; null where one is not defined.
        overall: figures of all lists together.
        hits: the rows of the lists that are targets.
    """

    accuracy: dict[Split, pl.DataFrame] = field(default_factory=dict)
    beyond: dict[Split, pl.DataFrame] = field(default_factory=dict)
    overall: dict[Split, dict[str, float]] = field(default_factory=dict)
    hits: dict[Split, pl.DataFrame] = field(default_factory=dict)

    @property
    def means(self) -> dict[str, float]:
        """Metric key (``test/recall@10``) -> a figure of all users."""
        means: dict[str, float] = {}
        for split in self.accuracy:
            columns = self.accuracy[split].drop(USER_ID), self.beyond[split].drop(USER_ID)
            rows = [frame.mean().row(0, named=True) for frame in columns if frame.width]
            users = {name: value for row in rows for name, value in row.items()}
            means |= by_key(split, users | self.overall[split])
        return means

    @property
    def per_user(self) -> dict[Split, pl.DataFrame]:
        """All figures of single users."""
        return {split: rows.hstack(self.beyond[split].drop(USER_ID)) for split, rows in self.accuracy.items()}


def measure(
    lists: Callable[[Split], pl.DataFrame],
    ruler: Ruler,
    popularity: Measured | None = None,
    *,
    is_popularity: bool = False,
) -> Measured:
    """Measures a recommender; only one split's lists are in memory at a time.

    Args:
        lists: split -> recommendations table; at least ranks up to the headline k, and the rows of targets.
        ruler: what to count.
        popularity: the popularity baseline as measured, for serendipity.
        is_popularity: whether these lists are the popularity baseline's.
    """
    measured = Measured()
    for split, targets in ruler.targets.items():
        table = lists(split)
        obvious = table if is_popularity else popularity.hits[split] if popularity else None
        measured.accuracy[split] = accuracy(table, targets, ruler.ks, ruler.of_hits)
        figures = beyond_accuracy(table, obvious, targets, ruler.facts, split, ruler.headline_k, ruler.of_lists)
        measured.beyond[split], measured.overall[split] = figures
        measured.hits[split] = table.join(targets, on=[USER_ID, ITEM_ID], how="semi", maintain_order="left")
    return measured


def by_key(split: Split, figures: Mapping[str, Any]) -> dict[str, Any]:
    """``recall@10`` -> ``test/recall@10``."""
    return {f"{SHORT_SPLIT[split]}/{name}": value for name, value in figures.items()}


def intervals_of(everybody: Mapping[str, Measured], *, draws: int, seed: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Recommender -> metric key -> bootstrap interval, of every figure that is a mean over users.

    Args:
        everybody: recommenders, measured on the same users.
        draws: bootstrap resamples.
        seed: of the bootstrap.
    """
    result: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in everybody}
    splits = next(iter(everybody.values())).accuracy
    for split in splits:
        for name, measured in everybody.items():
            result[name] |= by_key(split, bootstrap_intervals(measured.accuracy[split].drop(USER_ID), draws=draws, seed=seed))
        # Beyond accuracy every user differs, which makes drawing them dear: all recommenders share the draws.
        columns = {
            (name, column.name): column
            for name, measured in everybody.items()
            for column in measured.beyond[split].drop(USER_ID)
        }
        wide = pl.DataFrame({str(number): column for number, column in enumerate(columns.values())})
        intervals = bootstrap_intervals(wide, draws=draws, seed=seed).values() if columns else ()
        for (name, figure), interval in zip(columns, intervals, strict=True):
            result[name] |= by_key(split, {figure: interval})
    return result


def lead_over_best(
    model: Measured, baselines: Mapping[str, Measured], metric: str, *, draws: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Short split -> the baseline with the best mean of ``metric``, and the model's paired lead over it, user by user.

    Args:
        model: what has to be better.
        baselines: by name.
        metric: a column of ``Measured.accuracy``.
        draws: bootstrap resamples.
        seed: of the bootstrap.
    """
    leads = {}
    for split, rows in model.accuracy.items() if baselines else ():
        name = max(baselines, key=lambda baseline: float(baselines[baseline].accuracy[split][metric].mean()))  # type: ignore[arg-type]
        lead = pl.DataFrame({"lead": rows[metric] - baselines[name].accuracy[split][metric]})
        leads[SHORT_SPLIT[split]] = {
            "name": name,
            "metric": f"{SHORT_SPLIT[split]}/{metric}",
            "lead": lead["lead"].mean(),
            "interval": bootstrap_intervals(lead, draws=draws, seed=seed)["lead"],
        }
    return leads
