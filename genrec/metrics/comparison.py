"""What measured figures say: how certain they are, and whether the model leads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from genrec.metrics.bootstrap import bootstrap_intervals
from genrec.metrics.measure import Measured, by_key
from genrec.types import SHORT_SPLIT, USER_ID


def intervals_of(everybody: Mapping[str, Measured], *, draws: int, seed: int) -> dict[str, dict[str, tuple[float, float]]]:
    """Recommender -> metric key -> bootstrap interval, of every figure that is a mean over users.

    Args:
        everybody: recommenders, measured on the same users.
        draws: bootstrap resamples.
        seed: of the bootstrap.
    """
    found: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in everybody}
    splits = next(iter(everybody.values())).accuracy
    for split in splits:
        for name, measured in everybody.items():
            found[name] |= by_key(split, bootstrap_intervals(measured.accuracy[split].drop(USER_ID), draws=draws, seed=seed))
        # Beyond accuracy every user differs, which makes drawing them dear: all recommenders share the draws.
        columns = {
            (name, column.name): column
            for name, measured in everybody.items()
            for column in measured.beyond[split].drop(USER_ID)
        }
        wide = pl.DataFrame({str(number): column for number, column in enumerate(columns.values())})
        intervals = bootstrap_intervals(wide, draws=draws, seed=seed).values() if columns else ()
        for (name, figure), interval in zip(columns, intervals, strict=True):
            found[name] |= by_key(split, {figure: interval})
    return found


def lead_over_best(
    model: Measured, floors: Mapping[str, Measured], metric: str, *, draws: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Short split -> the floor with the best mean of ``metric``, and the model's paired lead over it, user by user.

    Args:
        model: what has to be better.
        floors: by name.
        metric: a column of ``Measured.accuracy``.
        draws: bootstrap resamples.
        seed: of the bootstrap.
    """
    found = {}
    for split, rows in model.accuracy.items() if floors else ():
        name = max(floors, key=lambda floor: float(floors[floor].accuracy[split][metric].mean()))  # type: ignore[arg-type]
        lead = pl.DataFrame({"lead": rows[metric] - floors[name].accuracy[split][metric]})
        found[SHORT_SPLIT[split]] = {
            "name": name,
            "metric": f"{SHORT_SPLIT[split]}/{metric}",
            "lead": lead["lead"].mean(),
            "interval": bootstrap_intervals(lead, draws=draws, seed=seed)["lead"],
        }
    return found
