"""Standings: the figures of compared models in one form, and how those of finished runs come into it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from genrec.errors import ConfigError, did_you_mean
from genrec.evaluation.measure import ACCURACY, METRICS
from genrec.reports.evaluated_runs import ComparedModel, Finished, differences, group
from genrec.statistics.paired import Pair, pairwise
from genrec.statistics.uncertainty import bootstrap_intervals, estimate
from genrec.types import SHORT_SPLIT, SPLITS, USER_ID, Split

Kind = Literal["model", "baseline", "bound"]


@dataclass(frozen=True)
class Row:
    """A model, a baseline or a bound.

    Args:
        name: of it.
        kind: "model", "baseline" or "bound".
        value: of the compared metric; of a model with several runs their mean.
        interval: 95 %, over users and, with several runs, over seeds.
        runs: run -> value; empty for baselines and bounds.
        others: further figures, by metric key.
        spreads: of those that several runs have: their standard deviation over the runs.
    """

    name: str
    kind: Kind
    value: float
    interval: tuple[float, float] | None = None
    runs: Mapping[str, float] = field(default_factory=dict)
    others: Mapping[str, float] = field(default_factory=dict)
    spreads: Mapping[str, float] = field(default_factory=dict)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the runs; None of fewer than two."""
        if len(self.runs) < 2:
            return None
        return math.hypot(*(run - self.value for run in self.runs.values())) / math.sqrt(len(self.runs) - 1)


@dataclass(frozen=True)
class Standings:
    """The result of a comparison.

    Args:
        metric: key of the compared metric, ``test/ndcg@10``.
        users: compared on.
        num_items: ranked.
        exclude_seen: the rule of all rows; None where unknown.
        models, baselines: rows; ``baselines`` holds bounds too.
        pairs: compared.
        untrained: label of the baseline that every model was compared with too; None where no evaluation kept its users.
        baseline: what all were compared with; None when every pair was.
        differences: setting -> its value in each model, where they differ.
        labels: metric -> what it calls itself, where the evaluations say so.
    """

    metric: str
    users: int
    num_items: int
    exclude_seen: bool | None
    models: Sequence[Row]
    baselines: Sequence[Row]
    pairs: Sequence[Pair]
    untrained: str | None = None
    baseline: str | None = None
    differences: Mapping[str, Sequence[str]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """``test NDCG@10``."""
        short = self.metric.partition("/")[0]
        return f"{'validation' if short == 'val' else short} {metric_label(self.metric, self.labels)}"

    @property
    def model_pairs(self) -> list[Pair]:
        """The pairs of two models."""
        return [pair for pair in self.pairs if pair.second != self.untrained]

    @property
    def floors(self) -> Sequence[Row]:
        """The former name of ``baselines``."""
        warnings.warn("floors is baselines now: read that", DeprecationWarning, stacklevel=2)
        return self.baselines

    @property
    def best(self) -> Row:
        return max(self.models, key=lambda row: row.value)


def baseline_label(name: str) -> str:
    """Returns the name of a baseline among models."""
    return f"{name} (baseline)"


def metric_label(key: str, labels: Mapping[str, str] | None = None) -> str:
    """``test/ndcg@10`` -> ``NDCG@10``.

    Args:
        key: as in metrics.json.
        labels: metric -> what it calls itself, where an evaluation says so.
    """
    name, _, k = key.rpartition("/")[2].partition("@")
    usual = name.upper() if name in ("ndcg", "mrr", "map") else name.replace("_", " ").capitalize()
    return f"{(labels or {}).get(name, usual)}@{k}"


MOST_PAIRED = 8  # models of which every pair is compared: 28


def standings(
    runs: Sequence[Finished],
    *,
    split: Split = "test",
    metric: str | None = None,
    baseline: str | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> Standings:
    """Compares runs.

    Args:
        runs: evaluated on the same data by the same rules.
        split: of the users.
        metric: measured user by user, such as ``recall@10``; None: ndcg at the evaluation's headline k.
        baseline: a model, or one of its runs: compare with this one only. None: every pair; of more than ``MOST_PAIRED`` models
            each against the best on validation, because so many questions at once would be answered by none.
        draws: of randomization tests and bootstraps.
        seed: of both.

    Raises:
        ConfigError: when the runs cannot be compared, or the baseline is none of them.
    """
    metric = metric or f"ndcg@{runs[0].metrics['rules']['headline_k']}"
    models = group(runs, split=split, metric=metric)
    chosen = _baseline(models, baseline) if baseline else _best_on_validation(models, metric)
    key = f"{SHORT_SPLIT[split]}/{metric}"
    first = runs[0].metrics
    untrained = _best_baseline(runs, models, split, metric)
    return Standings(
        metric=key,
        users=len(models[0].scores),
        num_items=first["dataset"]["num_items"],
        exclude_seen=first["rules"]["exclude_seen"],
        models=[_row(model, key, draws, seed) for model in models],
        baselines=_baselines(runs, key),
        pairs=pairwise(
            {model.name: model.scores for model in models}, baseline=chosen, untrained=untrained, draws=draws, seed=seed
        ),
        untrained=next(iter(untrained), None),
        baseline=chosen,
        differences=differences(models),
        labels={name: label for run in runs for name, label in run.metrics.get("labels", {}).items()},
    )


def _baseline(models: Sequence[ComparedModel], name: str) -> str:
    for model in models:
        if name in (model.name, *(run.name for run in model.runs), *(str(run.folder.parent) for run in model.runs)):
            return model.name
    names = [model.name for model in models]
    raise ConfigError("--baseline", expected="one of the models", got=name, fix=did_you_mean(name, names))


def _best_baseline(
    runs: Sequence[Finished], models: Sequence[ComparedModel], split: Split, metric: str
) -> dict[str, Float[np.ndarray, " users"]]:
    """The baseline with the highest mean on validation (or where that was not measured, on ``split``), user by user.

    Each run's own choice counts, because its settings may be others; empty where no run kept its baselines' users.
    """
    key = f"{SHORT_SPLIT['validation']}/{metric}"
    if any(key not in baseline for run in runs for baseline in run.metrics["baselines"].values()):
        key = f"{SHORT_SPLIT[split]}/{metric}"
    best: tuple[float, str, pl.DataFrame] | None = None
    for run in runs:
        for name, rows in run.baseline_scores(split, metric).items():
            mean = run.metrics["baselines"][name].get(key, 0.0)
            if best is None or mean > best[0]:
                best = (mean, name, rows)
    if best is None:
        return {}
    users = models[0].users.to_frame(USER_ID)
    scores = users.join(best[2], on=USER_ID, how="left", maintain_order="left")[metric].fill_null(0.0).to_numpy()
    return {baseline_label(best[1]): scores}


def _best_on_validation(models: Sequence[ComparedModel], metric: str) -> str | None:
    if len(models) <= MOST_PAIRED:
        return None
    key = f"{SHORT_SPLIT['validation']}/{metric}"
    if any(key not in run.metrics["model"] for model in models for run in model.runs):
        return models[0].name
    return max(models, key=lambda model: float(np.mean([run.metrics["model"][key] for run in model.runs]))).name


def _row(model: ComparedModel, key: str, draws: int, seed: int) -> Row:
    means = [float(mean) for mean in model.scores.mean(axis=0)]
    others = {
        other: [run.metrics["model"][other] for run in model.runs]
        for other in _other_keys(model.runs[0], key)
        if all(other in run.metrics["model"] for run in model.runs)
    }
    return Row(
        name=model.name,
        kind="model",
        value=float(np.mean(means)),
        interval=_interval(model.scores, key.partition("/")[2], draws, seed),
        runs=dict(zip((run.name for run in model.runs), means, strict=True)),
        others={other: float(np.mean(values)) for other, values in others.items()},
        spreads={other: float(np.std(values, ddof=1)) for other, values in others.items() if len(values) > 1},
    )


def _interval(scores: Float[np.ndarray, "users runs"], metric: str, draws: int, seed: int) -> tuple[float, float]:
    """Returns an interval over users, and over seeds if there are several; that of an accuracy stays in [0, 1]."""
    if scores.shape[1] > 1:
        low, high = estimate(scores).interval(0.95)
        return (max(low, 0.0), min(high, 1.0)) if metric.partition("@")[0] in ACCURACY else (low, high)
    return bootstrap_intervals(pl.DataFrame({"mean": scores[:, 0]}), draws=draws, seed=seed)["mean"]


def _baselines(runs: Sequence[Finished], key: str) -> list[Row]:
    """Returns each baseline once; one that another run measured with other settings has two rows."""
    baselines: dict[tuple[str, float], Row] = {}
    for run in runs:
        for kind, rows in (("baseline", run.metrics["baselines"]), ("bound", run.metrics["bounds"])):
            for name, figures in rows.items():
                if key in figures:
                    interval = run.metrics["baseline_intervals"].get(name, {}).get(key) if kind == "baseline" else None
                    others = {other: figures[other] for other in _other_keys(run, key) if other in figures}
                    row = Row(
                        name=f"{name} bound" if kind == "bound" else name,
                        kind="bound" if kind == "bound" else "baseline",
                        value=figures[key],
                        interval=(interval[0], interval[1]) if interval else None,
                        others=others,
                    )
                    baselines.setdefault((name, figures[key]), row)
    return list(baselines.values())


def _other_keys(run: Finished, key: str) -> list[str]:
    """The figures shown beside the compared one: recall and ndcg, at 5 on its split, at the headline k on both."""
    k, short = run.metrics["rules"]["headline_k"], key.partition("/")[0]
    shorts = [short, *(SHORT_SPLIT[split] for split in reversed(SPLITS) if SHORT_SPLIT[split] != short)]
    columns = [(short, 5), *((each, k) for each in shorts)]
    keys = [f"{each}/{metric}@{length}" for each, length in columns for metric in ("recall", "ndcg")]
    keys += [f"{short}/{name}@{k}" for name in run.metrics.get("labels", {}) if name not in METRICS]  # of a user's package
    return [other for other in dict.fromkeys(keys) if other != key and other in run.metrics["model"]]
