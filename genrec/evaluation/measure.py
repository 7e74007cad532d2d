"""Measures one recommender: all its figures, their intervals, and its lead over the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from genrec.evaluation.figures import ACCURACY, BEYOND, ItemFacts, accuracy, beyond_accuracy
from genrec.protocols.metrics import HitMetric, ListMetric
from genrec.statistics.uncertainty import bootstrap_intervals
from genrec.types import ITEM_ID, SHORT_SPLIT, USER_ID, Split

METRICS: Mapping[str, HitMetric | ListMetric] = {**ACCURACY, **BEYOND}


@dataclass(frozen=True)
class Ruler:
    """What is counted, for model and baselines alike.

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
