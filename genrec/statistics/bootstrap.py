"""Bootstrap intervals over users."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Float, Int64

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
    known = ~np.isnan(rows)
    rows = np.where(known, rows, 0.0)
    generator = np.random.default_rng(seed)
    step = max(1, WEIGHTS_AT_ONCE // values.height)
    means: list[Float[np.ndarray, "draws columns"]] = []
    for start in range(0, draws, step):
        drawn = _resamples(generator, users, min(step, draws - start)).astype(np.float64)
        counted = values.height if known.all() else np.maximum(drawn @ known, 1.0)
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
