"""Scores of the baselines, which need no training, on both splits and under both seen-item rules."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from genrec.audits.ranks import per_user, summary, target_hits
from genrec.baselines.graph import TGH_1, TGH_2, GraphHeuristic
from genrec.baselines.item_knn import ItemKNN
from genrec.baselines.lib.ranking import scores_of
from genrec.baselines.popularity import Popularity
from genrec.baselines.random import Random
from genrec.baselines.transitions import Transitions
from genrec.core.dataset import Dataset
from genrec.protocols import Baseline
from genrec.types import SPLITS

HEADLINE = "ndcg@10"


def baselines_of(item_vectors: Float[np.ndarray, "items dim"] | None) -> dict[str, Baseline]:
    """Makes the baselines of an audit, by name; the graph heuristic reads ``item_vectors``."""
    return {
        "random": Random(),
        "popularity": Popularity(),
        "item_knn": ItemKNN(),
        "transitions": Transitions(),
        "transitions_log": Transitions(normalization="log"),
        "graph_1": GraphHeuristic(budgets=TGH_1, item_vectors=item_vectors),
        "graph_2": GraphHeuristic(budgets=TGH_2, item_vectors=item_vectors),
    }


def measure_baselines(dataset: Dataset, baselines: dict[str, Baseline], log: Callable[[str], None]) -> dict[str, Any]:
    """Fits the baselines in place and ranks every target.

    Returns:
        ``seen_excluded`` and ``seen_kept``: name -> metric key -> mean, low, high; and ``best``: the baseline with the highest
        NDCG@10 on validation (on test where nothing is held out for validation), seen items excluded.
    """
    rows: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    for name, baseline in baselines.items():
        start = time.perf_counter()
        baseline.fit(dataset)
        values: dict[bool, list[pl.DataFrame]] = {True: [], False: []}
        for split in SPLITS:
            if dataset.targets(split).lengths.any():
                for exclude, hits in target_hits(scores_of(baseline), dataset, split).items():
                    values[exclude].append(per_user(hits, split))
        for exclude, frames in values.items():
            rows[exclude][name] = {key: cell for frame in frames for key, cell in summary(frame).items()}
        log(f"{name}: test NDCG@10 {rows[True][name]['test/ndcg@10']['mean']:.4f} ({time.perf_counter() - start:.1f} s)")
    short = "val" if f"val/{HEADLINE}" in rows[True]["popularity"] else "test"
    best = max(baselines, key=lambda name: rows[True][name][f"{short}/{HEADLINE}"]["mean"])
    return {"seen_excluded": rows[True], "seen_kept": rows[False], "best": best, "chosen_on": short}
