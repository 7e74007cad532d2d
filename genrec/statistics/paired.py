"""Paired comparison of two models on the same users: is the difference significant, and how large may it be?

Many models: every pair of them, or each against a baseline, with a correction for how many comparisons that makes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl
from jaxtyping import Float

from genrec.statistics.uncertainty import Estimate, bootstrap_intervals, estimate

SIGNS_AT_ONCE = 4_000_000  # 32 MB of drawn counts
DIGITS = 12  # scores equal but for the order of additions are equal


@dataclass(frozen=True)
class Comparison:
    """One model against another.

    Args:
        estimate: difference of the means (first minus second) with its error.
        interval: of the difference, 95 %.
        p: chance of a difference at least this large, in either direction, between equally good models.
    """

    estimate: Estimate
    interval: tuple[float, float]
    p: float

    @property
    def difference(self) -> float:
        return self.estimate.value


def compare(
    first: Float[np.ndarray, "users runs"],
    second: Float[np.ndarray, "users other_runs"],
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compares the scores of two models.

    With one run each, users are the only source of spread: the randomization test and the bootstrap interval, neither of which
    asks the scores to be normal. With several seeds of a model, seeds are a second one: a t test and its interval, see
    ``genrec.statistics.uncertainty.estimate``.

    Args:
        first: a column per run, two or more users.
        second: of the same users in the same order.
        draws: of the randomization and of the bootstrap.
        seed: of both; equal inputs give equal results.
    """
    difference = estimate(first, second)
    if first.shape[1] > 1 or second.shape[1] > 1:
        return Comparison(difference, difference.interval(0.95), difference.p)
    differences = (first - second).round(DIGITS)[:, 0]
    interval = bootstrap_intervals(pl.DataFrame({"difference": differences}), draws=draws, seed=seed)["difference"]
    return Comparison(difference, interval, randomization_p(differences, draws=draws, seed=seed))


def randomization_p(differences: Float[np.ndarray, " users"], *, draws: int = 10_000, seed: int = 0) -> float:
    """P-value of the paired randomization test: were the two models exchanged at random, user by user, how often would their
    means differ as much (Fisher's test of symmetry; for retrieval: Smucker, Allan and Carterette, "A comparison of statistical
    significance tests for information retrieval evaluation", 2007)?

    The signs of c equal differences add up to 2 B - c with B ~ Binomial(c, 1/2), so the cost depends on how many DIFFERENT ones
    occur, a few dozen with one target per user, and users without a difference cost nothing.

    Args:
        differences: of the scores of each user.
        draws: of the signs. The p-value is (r + 1) / (draws + 1) with r draws as extreme: never 0, and valid for any ``draws``
            (Davison and Hinkley, "Bootstrap methods and their application", 1997, chapter 4).
        seed: of the generator.

    Examples:
        Ten users, all in favour of the same model: 2 of the 1,024 ways to set signs are as extreme.

        >>> round(randomization_p(np.full(10, 0.5), draws=100_000), 3)
        0.002
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    observed = abs(differences.sum()) * (1 - 1e-9)  # as extreme up to rounding is as extreme
    generator = np.random.default_rng(seed)
    step = max(1, SIGNS_AT_ONCE // max(1, len(sizes)))
    extreme = 0
    for start in range(0, draws, step):
        positive = generator.binomial(counts, 0.5, size=(min(step, draws - start), len(counts)))
        extreme += int((np.abs((2 * positive - counts) @ sizes) >= observed).sum())
    return (extreme + 1) / (draws + 1)


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
    def significant(self) -> bool:
        """Whether the adjusted p-value is at most ``ALPHA``."""
        return self.p <= ALPHA

    @property
    def real(self) -> bool:
        """The former name of ``significant``."""
        warnings.warn("real is significant now: read that", DeprecationWarning, stacklevel=2)
        return self.significant


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
        baseline: compare every other model with this one only: fewer comparisons, so each has more power.
        untrained: name -> scores of what every model is compared with as well; it has no seeds.
        draws: see ``compare``.
        seed: see ``compare``.
    """
    others = {name: np.stack([scores, scores], axis=1) for name, scores in (untrained or {}).items()}
    names = [(name, other) for other in others for name in models]
    names += [(name, baseline) for name in models if name != baseline] if baseline else list(combinations(models, 2))
    comparisons = [
        compare(models[first], _beside(models, others, first, second), draws=draws, seed=seed) for first, second in names
    ]
    adjusted = holm([comparison.p for comparison in comparisons])
    return [
        Pair(first, second, comparison, p, comparison.estimate.detectable(alpha=ALPHA / len(comparisons), power=POWER))
        for (first, second), comparison, p in zip(names, comparisons, adjusted, strict=True)
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
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
