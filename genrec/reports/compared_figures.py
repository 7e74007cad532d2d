"""What a comparison of runs holds: figures of every model, baseline and bound, and which pairs were compared."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from genrec.statistics.paired import Pair

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
    """Everything the comparison found.

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
        """Those between models."""
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
    """What a baseline is called among models."""
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
