"""Many models: every pair of them, or each against a baseline, with a correction for how many comparisons that makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float

from genrec.metrics.paired import Comparison, compare

ALPHA = 0.05  # accepted chance of one or more false claims among all pairs
POWER = 0.8


@dataclass(frozen=True)
class Pair:
    """Two models compared.

    Args:
        first, second: their names.
        comparison: of the first against the second.
        p: adjusted for the number of comparisons.
        detectable: the true difference that would have been found 4 times in 5 in the least favourable case, in which every
            other comparison shows nothing.
    """

    first: str
    second: str
    comparison: Comparison
    p: float
    detectable: float

    @property
    def real(self) -> bool:
        return self.p <= ALPHA


def pairwise(
    models: Mapping[str, Float[np.ndarray, "users runs"]],
    *,
    baseline: str | None = None,
    untrained: Mapping[str, Float[np.ndarray, " users"]] | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> list[Pair]:
    """Compares models on the same users, first with what is not trained, then with each other.

    Args:
        models: name -> scores, a column per run (seed); users in the same order.
        baseline: compare every other model with this one only: fewer questions, so each is answered more sharply.
        untrained: name -> scores of what every model is compared with as well; it has no seeds.
        draws: see ``compare``.
        seed: see ``compare``.
    """
    others = {name: np.stack([scores, scores], axis=1) for name, scores in (untrained or {}).items()}
    names = [(name, other) for other in others for name in models]
    names += [(name, baseline) for name in models if name != baseline] if baseline else list(combinations(models, 2))
    found = [compare(models[first], _beside(models, others, first, second), draws=draws, seed=seed) for first, second in names]
    adjusted = holm([comparison.p for comparison in found])
    return [
        Pair(first, second, comparison, p, comparison.estimate.detectable(alpha=ALPHA / len(found), power=POWER))
        for (first, second), comparison, p in zip(names, found, adjusted, strict=True)
    ]


def _beside(
    models: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray], first: str, second: str
) -> Float[np.ndarray, "users runs"]:
    """The second model; of what is not trained two equal runs where the first has several: seeds do not move it."""
    if second not in others:
        return models[second]
    return others[second] if models[first].shape[1] > 1 else others[second][:, :1]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusts p-values so that the chance of ANY false claim at level alpha is at most alpha, however they depend on each other
    (Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics, 1979).

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted
