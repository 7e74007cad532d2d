"""Recommenders side by side on every slice of the targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from genrec.metrics.accuracy import ACCURACY, accuracy
from genrec.metrics.bootstrap import bootstrap_intervals
from genrec.metrics.slices import Slice
from genrec.types import USER_ID

SLICED = {name: ACCURACY[name] for name in ("recall", "ndcg")}


def measure_slices(
    slices: Iterable[Slice], targets: pl.DataFrame, hits: Mapping[str, pl.DataFrame], *, k: int, draws: int, seed: int
) -> list[dict[str, Any]]:
    """Recall and ndcg at ``k`` of the targets in each part, with bootstrap intervals over the users that have one.

    The other targets of a user are not counted there, neither as hits nor in the divisor.

    Args:
        slices: of ``targets``.
        targets: (``user_id``, ``item_id``) pairs, perhaps with a ``weight``.
        hits: recommender -> the rows of its lists that are targets, with tie columns.
        k: list length.
        draws: bootstrap resamples.
        seed: of the bootstrap.

    Returns:
        One entry a part: ``slice``, ``name``, ``targets`` and ``users`` (numbers), ``share`` of all targets, ``rows``
        (recommender -> metric -> figure) and ``intervals`` (the same, low and high).
    """
    found = []
    for division in slices:
        for name, inside in division:
            some = targets.filter(inside)
            measured = {recommender: accuracy(table, some, [k], SLICED).drop(USER_ID) for recommender, table in hits.items()}
            found.append(
                {
                    "slice": division.name,
                    "name": name,
                    "targets": some.height,
                    "users": some[USER_ID].n_unique(),
                    "share": some.height / targets.height,
                    "rows": {recommender: values.mean().row(0, named=True) for recommender, values in measured.items()},
                    "intervals": {
                        recommender: bootstrap_intervals(values, draws=draws, seed=seed)
                        for recommender, values in measured.items()
                    },
                }
            )
    return found
