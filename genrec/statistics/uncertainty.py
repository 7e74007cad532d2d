"""Uncertainty of means: bootstrap intervals over users, and t intervals over users and seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int64
from scipy.special import stdtr, stdtrit

WEIGHTS_AT_ONCE = 4_000_000  # 32 MB of resampling counts
FEW = 8  # a multinomial draw of a row costs as much as about so many draws of a user


def bootstrap_intervals(
    values: pl.DataFrame, *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the mean of every column, resampling users (rows) with replacement.

    Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13. A resample depends only on how often each
    DIFFERENT row was drawn, so those counts are drawn at once from a multinomial: with one target per user there are about as
    many different rows as ranks, however many users there are. All columns share the draws. A null
    is left out of its column's mean.

    Args:
        values: one row per user, numeric columns, each with at least one value.
        draws: number of resamples.
        level: coverage, in (0, 1).
        seed: of the generator; equal inputs give equal intervals.

    Examples:
        >>> low, high = bootstrap_intervals(pl.DataFrame({"recall@10": [1.0] * 300 + [0.0] * 700}))["recall@10"]
        >>> round(low, 2), round(high, 2)
        (0.27, 0.33)
    """
    columns = values.columns
    distinct = values.group_by(columns).len("users").sort(columns)  # sorted: the draws must not depend on the order of groups
    users = distinct["users"].to_numpy()
    rows = distinct.select(columns).cast(pl.Float64).to_numpy()  # null -> NaN
    present = ~np.isnan(rows)
    rows = np.where(present, rows, 0.0)
    generator = np.random.default_rng(seed)
    step = max(1, WEIGHTS_AT_ONCE // values.height)
    means: list[Float[np.ndarray, "draws columns"]] = []
    for start in range(0, draws, step):
        drawn = _resamples(generator, users, min(step, draws - start)).astype(np.float64)
        counted = values.height if present.all() else np.maximum(drawn @ present, 1.0)
        means.append(drawn @ rows / counted)
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {column: (float(low[i]), float(high[i])) for i, column in enumerate(columns)}


def _resamples(
    generator: np.random.Generator, users: Int64[np.ndarray, " rows"], draws: int
) -> Int64[np.ndarray, "draws rows"]:
    """How often each different row is in each resample, given how many users have it."""
    total = int(users.sum())
    if len(users) < total / FEW:
        return generator.multinomial(total, users / total, size=draws)
    owner = np.repeat(np.arange(len(users)), users)  # drawing user by user is the faster way when most rows differ
    rows = owner[generator.integers(total, size=(draws, total))] + np.arange(draws)[:, None] * len(users)
    return np.bincount(rows.ravel(), minlength=draws * len(users)).reshape(draws, len(users))


@dataclass(frozen=True)
class Estimate:
    """A mean with its uncertainty.

    Args:
        value: the mean, or the difference of two.
        error: its standard error; 0 when nothing varies.
        freedom: degrees of freedom of the error, > 0; infinite when the error is known.
    """

    value: float
    error: float
    freedom: float = math.inf

    @property
    def p(self) -> float:
        """Chance of a value at least this far from 0 when the truth is 0 (t test, two-sided)."""
        if not self.error:
            return float(self.value == 0)
        return float(2 * stdtr(self.freedom, -abs(self.value) / self.error))

    def interval(self, level: float) -> tuple[float, float]:
        """The t interval of that coverage."""
        half = float(stdtrit(self.freedom, (1 + level) / 2)) * self.error
        return self.value - half, self.value + half

    def detectable(self, *, alpha: float, power: float) -> float:
        """The true difference that a test at ``alpha`` would find with probability ``power``, given this error.

        Lehr's argument with t instead of normal quantiles: the difference must lie one quantile of the test and one of the
        power away from 0.

        Examples:
            >>> round(Estimate(0.0, error=0.001).detectable(alpha=0.05, power=0.8), 4)
            0.0028
        """
        return float(stdtrit(self.freedom, 1 - alpha / 2) + stdtrit(self.freedom, power)) * self.error


def estimate(first: Float[np.ndarray, "users seeds"], second: Float[np.ndarray, "users other_seeds"] | None = None) -> Estimate:
    r"""The mean of one model, or the difference of two, over the same users and independent seeds.

    The score of user u under seed s of model m is $\mu_m + a_{mu} + b_{ms} + e_{mus}$: a user who is easy or hard for this
    model whatever the seed, a seed that is good or bad for everybody, and the rest; all drawn at random. With n users and $S_m$
    seeds the difference of the means has the variance

    $$\frac{\text{Var}(a_1 - a_2)}{n} + \Big(\sigma^2_b + \frac{\sigma^2_e}{n}\Big) \sum_m \frac{1}{S_m}$$

    The bracket is what the means of the seeds show as they spread, pooled over the models (as in Student's two-sample test).
    The first part is the variance of the per-user differences without the share of $e$ in it, which the seeds' disagreement on
    each user shows; at least 0. If no user is easier for one model than for the other, this is Student's test on the seeds'
    means; if seeds agree on everybody, it is the paired test over users.

    Two departures from the textbook, both for the sake of the false-positive rate with three seeds
    (tools/benchmarks/null_comparisons.py). The variance of the seeds is not cut at 0, which is too cautious (2.6 to 4 %, not
    5) where seeds do not move the mean. The degrees of freedom are the seeds' own times (variance / seeds' part) ** 1.5;
    Satterthwaite's 2 ("An approximate distribution of estimates of variance components", Biometrics Bulletin, 1946) is too bold
    (5.9 %) while users have a small part.

    What it takes for granted: seeds move both models about equally. Standard deviations of 2 : 1 cost little (up to 6.2 %);
    with three seeds each, one model that seeds move and one that they do not give 7.6 %, up to 11 % if users have no part. Two
    seeds each, or three against a single run, give about 6.5 %. A model whose runs are all the same is seen to have no seed
    effect. One with a single run is taken to vary as the other does; two single runs leave seeds out: the result is about
    these two trained models, not about their recipes.

    Args:
        first: scores, two or more users.
        second: scores of the other model for the same users in the same order; None for the mean of one model.
    """
    models = [first] if second is None else [first, second]
    per_user = first.mean(axis=1) - (0.0 if second is None else second.mean(axis=1))
    users = len(per_user)
    moved = [scores for scores in models if scores.shape[1] == 1 or (scores != scores[:, :1]).any()]
    shares = sum(1 / scores.shape[1] for scores in moved)
    freedom, of_means, of_rest = 0, 0.0, 0.0
    for scores in moved:
        means, seeds = scores.mean(axis=0), scores.shape[1]
        rest = scores - scores.mean(axis=1, keepdims=True) - means + means.mean()
        freedom += seeds - 1
        of_means += float(np.square(means - means.mean()).sum())
        of_rest += float(np.square(rest).sum()) / (users - 1) / users
    of_users = float(per_user.var(ddof=1)) / users
    if not freedom:
        return Estimate(float(per_user.mean()), math.sqrt(of_users), users - 1)
    of_seeds = shares * of_means / freedom
    variance = max(0.0, of_users - shares * of_rest / freedom) + of_seeds
    return Estimate(
        float(per_user.mean()),
        math.sqrt(variance),
        min(users - 1, freedom * (variance / of_seeds) ** 1.5) if of_seeds else users - 1,
    )
