"""A small dataset with recommendations of known quality, and the evaluate stage run on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.baselines.lib.ranking import ranked_tables, scores_of
from genrec.baselines.transitions import Transitions
from genrec.core.dataset import Dataset, Sequences
from genrec.engine.artifacts import Artifact, Store
from genrec.engine.stage import Runtime, StageContext
from genrec.stages.evaluate import STAGE

BASELINES = {
    "popularity": {"_target_": "genrec.baselines.popularity.Popularity"},
    "transitions": {"_target_": "genrec.baselines.transitions.Transitions"},
}


def walks(*, users: int = 60, items: int = 30, seed: int = 0, repeats: bool = False) -> Dataset:
    """Users who mostly go on to the next item; leave-one-out."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, 9, users)
    rows = []
    for length in lengths:
        steps = np.where(rng.random(length) < 0.7, 1, rng.integers(0 if repeats else 1, 4, length))
        rows.append((rng.integers(0, items) + np.cumsum(steps)) % items)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Dataset(
        items=pl.DataFrame({"item_id": [f"i{i}" for i in range(items)], "title": [f"<Item & {i}> $5" for i in range(items)]}),
        users=pl.DataFrame({"user_id": [f"u{u}" for u in range(users)]}),
        events=Sequences(np.concatenate(rows).astype(np.int32), offsets),
        train_ends=offsets[1:] - 2,
        validation_ends=offsets[1:] - 1,
        facts={"split": {"rule": "leave_one_out"}, "order": {"ties": "input_order"}},
    )


def recommended(dataset: Dataset, *, k: int = 10, exclude_seen: bool = True) -> pl.DataFrame:
    """A model: the transition counts themselves."""
    baseline = Transitions()
    baseline.fit(dataset)
    return pl.concat(
        table
        for split in ("validation", "test")
        for table in ranked_tables(scores_of(baseline), dataset, split, k=k, exclude_seen=exclude_seen)
    )


def evaluated(
    root: Path,
    dataset: Dataset,
    table: pl.DataFrame,
    *,
    k: int = 10,
    exclude_seen: bool = True,
    ks: Sequence[int] = (1, 5, 10, 20),
    baselines: dict[str, Any] | None = None,
    save: Callable[[Path], Any] | None = None,
    file: Path | None = None,
    more: Mapping[str, Callable[[Path], Any]] | None = None,
    log: Callable[[str], None] = lambda line: None,
    candidates: Path | None = None,
    request: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Artifact:
    """Runs the stage in a store of its own.

    Args:
        save: writes the dataset's folder; ``dataset.save`` by default.
        file: evaluate this table instead of ``table``.
        more: kind -> writer of an input's folder.
        candidates: the table that ``recommend.candidates`` names.
        request: ``recommend.request``.
        settings: of the evaluator.
    """
    store = Store(root)

    def save_dataset(folder: Path, work: Path) -> dict[str, Any]:
        (save or dataset.save)(folder)
        return dataset.facts

    def save_table(folder: Path, work: Path) -> dict[str, Any]:
        table.write_parquet(folder / "recommendations.parquet")
        return {"k": k, "exclude_seen": exclude_seen}

    inputs = {"dataset": store.make("dataset", "d1", save_dataset, stage="prepare", config={}, inputs={})}
    if file is None:
        inputs["recommendations"] = store.make("recommendations", "r1", save_table, stage="recommend", config={}, inputs={})
    for kind, write in (more or {}).items():
        inputs[kind] = store.make(
            kind, "m1", lambda folder, work, write=write: write(folder) or {}, stage="x", config={}, inputs={}
        )
    node = {"_target_": "genrec.stages.evaluate.Evaluator", "ks": list(ks), "draws": 200, **settings}
    recommend: dict[str, Any] = {"_target_": "genrec.evaluation.list_settings.RecommendSettings", "exclude_seen": exclude_seen}
    recommend["candidates"] = candidates and str(candidates)
    recommend |= {"request": request} if request else {}
    config = {"evaluate": node | {"baselines": BASELINES if baselines is None else baselines}, "recommend": recommend}
    config |= {"recommendations": str(file) if file else None}

    def build(folder: Path, work: Path) -> dict[str, Any]:
        return STAGE.build(StageContext(config, inputs, folder, work, log, Runtime(name="walk")))

    return store.make(
        "evaluation",
        "e1",
        build,
        stage="evaluate",
        config=config,
        inputs={kind: made.fingerprint for kind, made in inputs.items()},
    )


def metrics_of(artifact: Artifact) -> dict[str, Any]:
    return json.loads((artifact.path / "metrics.json").read_text(encoding="utf-8"))
