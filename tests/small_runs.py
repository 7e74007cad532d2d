"""Evaluated runs without any model: scores as they should be, on disk as the pipeline leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.engine.artifacts import Store
from genrec.engine.fingerprints import digest
from genrec.engine.runs import STORE, Run

USERS = 300


def scores(mean: float, *, seed: int = 0, users: int = USERS) -> np.ndarray:
    """NDCG-like: a few users have a hit, mostly the same ones for every seed."""
    easy = np.random.default_rng(99).random(users)
    own = np.random.default_rng(seed).random(users)
    return np.where(0.8 * easy + 0.2 * own < mean, 0.5 + (own > 0.5) * 0.5, 0.0)


def finished(
    runs: Path,
    name: str,
    values: np.ndarray,
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    dataset: str = "d1",
    rules: Mapping[str, Any] | None = None,
    splits: tuple[str, ...] = ("validation", "test"),
    prefix: str = "u",
    baselines: Mapping[str, np.ndarray] | None = None,
    component: Mapping[str, Any] | None = None,
) -> Path:
    """Makes a run folder.

    Args:
        values: score of each user on test; a bit higher on validation.
        settings: of its generator.
        dataset: fingerprint.
        rules: of metrics.json, beside the usual.
        prefix: of the users' ids.
        baselines: name -> its scores of the users, on both splits.
        component: all of the generator's settings, its class too.
    """
    store, run = Store(runs / STORE), Run(runs / name)
    config = {
        "generator": dict(component or {"_target_": "shop.Model", **(settings or {})}),
        "train": {"seed": seed, "lr": 0.1},
    }
    tables = {"test": values, "validation": np.minimum(values * 1.1, 1.0)}
    users = [f"{prefix}{user}" for user in range(len(values))]

    def nothing(folder: Path, work: Path) -> dict[str, Any]:
        return {}

    def evaluation(folder: Path, work: Path) -> dict[str, Any]:
        figures = {"validation": "val", "test": "test"}
        metrics = {
            "model": {
                f"{figures[split]}/{metric}@10": tables[split].mean() for split in splits for metric in ("recall", "ndcg")
            },
            "baselines": {"popularity": {f"{figures[split]}/ndcg@10": 0.01 for split in splits}}
            | {
                other: {f"{figures[split]}/ndcg@10": float(of_users.mean()) for split in splits}
                for other, of_users in (baselines or {}).items()
            },
            "bounds": {"bayes": {f"{figures[split]}/ndcg@10": 0.9 for split in splits}},
            "baseline_intervals": {"popularity": {f"{figures[split]}/ndcg@10": [0.005, 0.015] for split in splits}},
            "rules": {"headline_k": 10, "exclude_seen": True, "ties": "expected rank", **(rules or {})},
            "users": {split: len(values) for split in splits},
            "dataset": {"fingerprint": dataset, "num_users": len(values), "num_items": 50},
        }
        (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        rows = [
            pl.DataFrame({"split": split, "user_id": users, "ndcg@10": tables[split], "recall@10": (tables[split] > 0) * 1.0})
            for split in splits
        ]
        pl.concat(rows).write_parquet(folder / "per_user.parquet")
        if baselines:
            hits = [
                pl.DataFrame({"split": split, "baseline": other, "user_id": users, "ndcg@10": of_users})
                for other, of_users in baselines.items()
                for split in splits
            ]
            pl.concat(hits).filter(pl.col("ndcg@10") > 0).write_parquet(folder / "per_user_baselines.parquet")
        return {}

    generator = digest(["generator", config])
    made = digest([name, config, dataset, rules, values.tolist(), sorted(baselines or {})])
    store.make("generator", generator, nothing, stage="train", config=config, inputs={"dataset": dataset})
    inputs = {"dataset": dataset, "recommendations": made}
    recommend = {"recommend": {"k": 10}}
    store.make(
        "recommendations",
        made,
        nothing,
        stage="recommend",
        config=recommend,
        inputs={"dataset": dataset, "generator": generator},
    )
    store.make("evaluation", made, evaluation, stage="evaluate", config={}, inputs=inputs)
    run.start({}, [], {})
    run.link("evaluation", made)
    return run.path
