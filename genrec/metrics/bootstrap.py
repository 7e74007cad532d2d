"""Bootstrap intervals over users."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Float

WEIGHTS_AT_ONCE = 4_000_000  # 32 MB of resampling counts


def bootstrap_intervals(
    values: pl.DataFrame, *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the mean of every column, resampling users (rows) with replacement.

    Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13. A resample depends only on how often each
    DIFFERENT row was drawn, so those counts are drawn at once from a multinomial: with one target per user there are about as
    many different rows as ranks, however many users there are. All columns share the draws.

    Args:
        values: one row per user, numeric columns.
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
    weights = distinct["users"].to_numpy() / values.height
    rows = distinct.select(columns).to_numpy().astype(np.float64)
    generator = np.random.default_rng(seed)
    step = max(1, WEIGHTS_AT_ONCE // distinct.height)
    means: list[Float[np.ndarray, "draws columns"]] = [
        generator.multinomial(values.height, weights, size=min(step, draws - start)) @ rows / values.height
        for start in range(0, draws, step)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {column: (float(low[i]), float(high[i])) for i, column in enumerate(columns)}
