"""Arithmetic that the figures of any single-target ranking obey, whatever the model: a row that breaks it cannot be true."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

# What a hit at rank r adds. With one target per user, a figure at k is the sum, over ranks 1 to k, of the share of users whose
# target is there times the gain. Ordered so that the ratio of a later gain to an earlier one never rises with r.
GAINS: Mapping[str, Callable[[int], float]] = {
    "recall": lambda rank: 1.0,
    "hit": lambda rank: 1.0,
    "ndcg": lambda rank: 1 / math.log2(rank + 1),
    "mrr": lambda rank: 1 / rank,
    "map": lambda rank: 1 / rank,
}
LABELS = {"recall": "Recall", "hit": "HR", "ndcg": "NDCG", "mrr": "MRR", "map": "MAP"}
EPSILON = 1e-9  # of floating point arithmetic, far below any printed digit


@dataclass(frozen=True)
class Figure:
    """A printed number.

    Args:
        value: as a share, in [0, 1] if true.
        slack: how far the exact number may lie away: half a unit of the last printed digit.
    """

    value: float
    slack: float


def impossible(row: Mapping[tuple[str, int], Figure], *, scale: float = 1.0) -> Iterator[str]:
    r"""Returns what cannot be true about a row of a table in which each user has ONE target.

    Users whose target is at ranks a+1 to b raise Recall by their share, and NDCG by their share times a gain between those
    of ranks b and a+1:

    $$\frac{R@b - R@a}{\log_2(b + 1)} \le \text{NDCG}@b - \text{NDCG}@a \le \frac{R@b - R@a}{\log_2(a + 2)}, \qquad a < b$$

    and so for every two metrics that sum a gain up, such as MRR (gains 1/r). With a = 0, where every figure is 0, this holds
    NDCG@k <= R@k, NDCG@1 = R@1 and R@k / k <= MRR@k; hit rate and recall, and MRR and MAP, are the same. Averages over seeds or
    datasets obey it as well. Figures may lie anywhere within their rounding.

    Args:
        row: (metric, k) -> figure, metrics as in ``GAINS``.
        scale: figures are printed times this: 100 for a table in percent.

    Yields:
        A sentence per broken bound, with the figures.

    Examples:
        >>> table = {("recall", 5): 0.05, ("recall", 10): 0.06, ("ndcg", 5): 0.03, ("ndcg", 10): 0.04}
        >>> list(impossible({key: Figure(value, slack=0.00005) for key, value in table.items()}))
        ['NDCG@10 - NDCG@5 is 0.0100; Recall@10 - Recall@5 of 0.0100 allows 0.0028 to 0.0037']
    """
    for (metric, k), figure in row.items():
        if not -figure.slack - EPSILON <= figure.value <= 1 + figure.slack + EPSILON:
            yield f"{LABELS[metric]}@{k} is {_scaled(figure.value, scale)}, not a share of the users"
    steps = {metric: _steps(metric, row) for metric in GAINS}
    for metric, of_metric in steps.items():
        for (a, b), step in of_metric.items():
            if a and step.value + step.slack < -EPSILON:
                yield f"{LABELS[metric]}@{b} is below {LABELS[metric]}@{a}, by {_scaled(-step.value, scale)}"
    for (one, gain), (other, other_gain) in combinations(GAINS.items(), 2):
        for a, b in steps[one].keys() & steps[other].keys():
            step, other_step = steps[one][a, b], steps[other][a, b]
            if step.value + step.slack < 0 or other_step.value + other_step.slack < 0:
                continue  # reported above
            low = max(0.0, step.value - step.slack) * other_gain(b) / gain(b) - other_step.slack
            high = (step.value + step.slack) * other_gain(a + 1) / gain(a + 1) + other_step.slack
            if not low - EPSILON <= other_step.value <= high + EPSILON:
                yield (
                    f"{_difference(other, a, b)} is {_scaled(other_step.value, scale)}; {_difference(one, a, b)} of "
                    f"{_scaled(step.value, scale)} allows {_scaled(max(0.0, low), scale)} to {_scaled(high, scale)}"
                )


def _steps(metric: str, row: Mapping[tuple[str, int], Figure]) -> dict[tuple[int, int], Figure]:
    """(a, b) -> what the ranks a+1 to b add to a metric, for every two cutoffs, the first of them also 0."""
    at = {0: Figure(0.0, 0.0)} | {k: row[name, k] for name, k in sorted(row, key=lambda key: key[1]) if name == metric}
    return {(a, b): Figure(at[b].value - at[a].value, at[b].slack + at[a].slack) for a, b in combinations(at, 2)}


def _difference(metric: str, a: int, b: int) -> str:
    name = LABELS[metric]
    return f"{name}@{b} - {name}@{a}" if a else f"{name}@{b}"


def _scaled(value: float, scale: float) -> str:
    return f"{value * scale:.4f}"
