"""Paired comparison of two models on the same users: is the difference real, and how large may it be?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float

from genrec.metrics.bootstrap import bootstrap_intervals
from genrec.metrics.seeds import Estimate, estimate

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
    ``genrec.metrics.seeds.estimate``.

    Args:
        first: a column per run, two or more users.
        second: of the same users in the same order.
        draws: of the randomization and of the bootstrap.
        seed: of both; equal inputs give equal results.
    """
    found = estimate(first, second)
    if first.shape[1] > 1 or second.shape[1] > 1:
        return Comparison(found, found.interval(0.95), found.p)
    differences = (first - second).round(DIGITS)[:, 0]
    interval = bootstrap_intervals(pl.DataFrame({"difference": differences}), draws=draws, seed=seed)["difference"]
    return Comparison(found, interval, randomization_p(differences, draws=draws, seed=seed))


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
