"""Metrics of tables that anybody made: without a run, a dataset or a configuration."""

from __future__ import annotations

from typing import Any

import polars as pl

from genrec.metrics.lib.hits import find_hits
from genrec.protocols.metrics import HitMetric


def mean_over_users(metric: HitMetric, table: Any, targets: Any, k: int) -> float:
    """Returns the mean of a metric over all users with a target; a user without a list counts 0.

    Args:
        metric: counts.
        table: recommendations, with ``user_id``, ``item_id``, and ``rank`` (1-based) or ``score``; polars, pandas or arrow.
        targets: (``user_id``, ``item_id``) pairs, perhaps with a ``weight``.
        k: list length, >= 1.

    Raises:
        DataError: when a column is missing, or a list names a target twice.
    """
    return float(metric.from_hits(find_hits(_polars(table), _polars(targets)), k).mean())


def _polars(table: Any) -> pl.DataFrame:
    return table if isinstance(table, pl.DataFrame) else pl.DataFrame(table)
