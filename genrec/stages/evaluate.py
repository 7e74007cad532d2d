"""evaluate: counts the recommended items that came true, for the model, the floors and the exact bounds -> ``evaluation``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl

from genrec.artifacts import Artifact
from genrec.baselines.ranking import Score, ranked_tables, scores_of
from genrec.components import instantiate
from genrec.data.demo_world import WORLD_FILE, World
from genrec.data.targets import target_facts
from genrec.dataset import Dataset
from genrec.errors import ConfigError, DataError, GenRecError
from genrec.metrics.bootstrap import bootstrap_intervals
from genrec.metrics.hits import find_hits, targets_of
from genrec.metrics.mrr import mrr
from genrec.metrics.ndcg import ndcg
from genrec.metrics.recall import recall
from genrec.pages.report import report
from genrec.pages.terminal import print_comparison as print_comparison
from genrec.protocols import Floor
from genrec.stages.stage import Stage, StageRun
from genrec.types import SHORT_SPLIT, SPLIT, SPLITS, USER_ID, Split

METRICS = {"recall": recall, "ndcg": ndcg, "mrr": mrr}
Say = Callable[[str], None]
PerUser = dict[Split, pl.DataFrame]  # user_id and one column a metric, users with a target in the dataset's order


class Evaluator:
    """What is counted and compared.

    Args:
        floors: name -> what the model has to beat.
        ks: list lengths to measure at, each >= 1.
        draws: bootstrap resamples of the users, >= 1.
        seed: of the bootstrap.
    """

    def __init__(
        self,
        *,
        floors: Mapping[str, Floor],
        ks: tuple[int, ...] = (1, 5, 10, 20, 50),
        draws: int = 1000,
        seed: int = 0,
    ) -> None:
        if not ks or min(ks) < 1:
            raise ConfigError("ks", expected="list lengths of 1 or more", got=ks, fix="give evaluate.ks=[5,10]")
        if draws < 1:
            raise ConfigError("draws", expected="1 or more", got=draws, fix="give evaluate.draws=1000")
        self.ks, self.draws, self.seed, self.floors = sorted(set(ks)), draws, seed, dict(floors)


def measure(table: pl.DataFrame, targets: pl.DataFrame, ks: Iterable[int]) -> pl.DataFrame:
    """Every metric at every k for each user with a target: ``user_id``, ``recall@10``, ...

    Args:
        table: a recommendations table of one split (see ``find_hits``).
        targets: (``user_id``, ``item_id``) pairs.
        ks: list lengths.
    """
    hits = find_hits(table, targets)
    return pl.DataFrame(
        {USER_ID: hits.user_ids} | {f"{name}@{k}": metric(hits, k) for name, metric in METRICS.items() for k in ks}
    )


def build(run: StageRun) -> dict[str, Any]:
    """Writes metrics.json, per_user.parquet (of the model) and report.html."""
    evaluator: Evaluator = instantiate(run.config["evaluate"], "evaluate")
    recommendations = run.inputs["recommendations"]
    dataset = Dataset.load(run.inputs["dataset"].path)
    table = pl.read_parquet(recommendations.path / "recommendations.parquet")
    length, exclude_seen = int(recommendations.facts["k"]), bool(recommendations.facts["exclude_seen"])

    ks = _known_ks(evaluator, length, run.say)
    targets = {split: pairs for split in SPLITS if (pairs := targets_of(dataset, split)).height}
    listed = {split: table.filter(pl.col(SPLIT) == split) for split in targets}
    targets = {split: pairs for split, pairs in targets.items() if listed[split].height}
    if not targets:
        raise DataError(
            recommendations.path,
            expected="lists for users with validation or test targets",
            got=f"none ({table.height:,} rows; split {dataset.facts.get('split')})",
            fix="evaluate a run with a split that holds events out, such as split=leave_one_out",
        )
    repeats = target_facts(dataset)
    warnings = [*_warnings(listed, targets, length, {split: repeats[split] for split in targets}, exclude_seen)]
    for warning in warnings:
        run.say(f"WARNING: {warning}")

    def ranked(name: str, score: Score) -> PerUser:
        start = time.perf_counter()
        found: PerUser = {}
        for split, pairs in targets.items():
            tables = ranked_tables(score, dataset, split, k=max(ks), exclude_seen=exclude_seen, hits_only=True)
            found[split] = measure(pl.concat(tables), pairs, ks)
        run.say(f"{name}: ranked in {time.perf_counter() - start:.1f} s")
        return found

    model: PerUser = {split: measure(listed[split], pairs, ks) for split, pairs in targets.items()}
    floors: dict[str, PerUser] = {}
    for name, floor in evaluator.floors.items():
        floor.fit(dataset)
        floors[name] = ranked(name, scores_of(floor))
    bounds = {name: ranked(f"{name} bound", score) for name, score in _exact_scores(dataset, repeats, run.say).items()}

    def intervals(rows: PerUser) -> dict[str, tuple[float, float]]:
        return _by_key(rows, lambda values: bootstrap_intervals(values, draws=evaluator.draws, seed=evaluator.seed))

    metrics: dict[str, Any] = {
        "model": _means(model),
        "floors": {name: _means(rows) for name, rows in floors.items()},
        "bounds": {name: _means(rows) for name, rows in bounds.items()},
        "intervals": intervals(model),
        "floor_intervals": {name: intervals(rows) for name, rows in floors.items()},
        "best_floor": _against_best_floor(model, floors, headline_k(ks), evaluator),
        "rules": {
            "ks": ks,
            "headline_k": headline_k(ks),
            "exclude_seen": exclude_seen,
            "split": dataset.facts.get("split"),
            "order": dataset.facts.get("order"),
            "ties": "expected rank",
            "list_length": length,
            "targets": {split: repeats[split] for split in targets},
            "bootstrap": {"draws": evaluator.draws, "seed": evaluator.seed, "level": 0.95},
        },
        "users": {split: rows.height for split, rows in model.items()},
        "dataset": {
            "fingerprint": run.inputs["dataset"].fingerprint,
            "num_users": dataset.num_users,
            "num_items": dataset.num_items,
        },
        "warnings": warnings,
    }
    (run.folder / "metrics.json").write_text(json.dumps(metrics, indent=2))
    per_user = pl.concat([rows.select(pl.lit(split).alias(SPLIT), pl.all()) for split, rows in model.items()])
    per_user.write_parquet(run.folder / "per_user.parquet")
    lineage = {kind: _lineage(artifact) for kind, artifact in run.inputs.items()}
    page = report(run.runtime.name, metrics, dataset=dataset, table=table, per_user=per_user, lineage=lineage)
    (run.folder / "report.html").write_text(page, encoding="utf-8")
    return {"metrics": metrics["model"], "best_floor": metrics["best_floor"], "users": metrics["users"]}


def headline_k(ks: Iterable[int]) -> int:
    """The k of the sentence that says whether the model beats the floors: 10, or the nearest smaller one, or the smallest."""
    return max((k for k in ks if k <= 10), default=min(ks))


def _known_ks(evaluator: Evaluator, length: int, say: Say) -> list[int]:
    known = [k for k in evaluator.ks if k <= length]
    if not known:
        raise ConfigError(
            "evaluate.ks", expected=f"a k of at most {length} (recommend.k)", got=evaluator.ks, fix="ask for longer lists"
        )
    if known != evaluator.ks:
        left_out = ", ".join(str(k) for k in evaluator.ks if k > length)
        say(f"lists hold {length} items, so there is nothing at k = {left_out}")
    return known


def _warnings(
    listed: Mapping[Split, pl.DataFrame],
    targets: Mapping[Split, pl.DataFrame],
    length: int,
    facts: Mapping[Split, Mapping[str, float]],
    exclude_seen: bool,
) -> Iterable[str]:
    for split, pairs in targets.items():
        if exclude_seen and (repeats := facts[split]["repeats"]):
            yield (
                f"{repeats:,} of {facts[split]['targets']:,} {split} targets stand in their user's history and cannot be hit "
                f"because seen items are excluded (recommend.exclude_seen=false keeps them)"
            )
        lengths = pairs.select(USER_ID).unique().join(listed[split].group_by(USER_ID).len(), on=USER_ID, how="left")
        if short := int((lengths["len"].fill_null(0) < length).sum()):
            yield f"{short:,} of {lengths.height:,} {split} users have a list shorter than {length} items"


def _exact_scores(dataset: Dataset, facts: Mapping[str, Mapping[str, float]], say: Say) -> dict[str, Score]:
    """The demo world's own probabilities: ``bayes`` sees the history, ``oracle`` the hidden state as well."""
    if dataset.folder is None or not (dataset.folder / WORLD_FILE).exists():
        return {}
    if any(split["targets"] > split["users"] for split in facts.values()):
        say("no bounds: they are exact for one target a user, and this split has several")
        return {}
    try:
        world = World.load(dataset.folder)
    except GenRecError as error:
        say(f"no bounds: {error}")
        return {}
    return {"bayes": world.predict, "oracle": world.oracle}


def _by_key(rows: PerUser, summary: Callable[[pl.DataFrame], Mapping[str, Any]]) -> dict[str, Any]:
    """Metric key (``test/recall@10``) -> a figure of all users."""
    return {
        f"{SHORT_SPLIT[split]}/{column}": value
        for split, values in rows.items()
        for column, value in summary(values.drop(USER_ID)).items()
    }


def _means(rows: PerUser) -> dict[str, float]:
    return _by_key(rows, lambda values: values.mean().row(0, named=True))


def _against_best_floor(model: PerUser, floors: Mapping[str, PerUser], k: int, evaluator: Evaluator) -> dict[str, Any]:
    """Per split, the floor with the best ndcg and the model's paired lead over it, user by user."""
    column, found = f"ndcg@{k}", {}
    for split, rows in model.items() if floors else ():
        name = max(floors, key=lambda floor: float(floors[floor][split][column].mean()))  # type: ignore[arg-type]
        lead = pl.DataFrame({"lead": rows[column] - floors[name][split][column]})
        found[SHORT_SPLIT[split]] = {
            "name": name,
            "metric": f"{SHORT_SPLIT[split]}/{column}",
            "lead": lead["lead"].mean(),
            "interval": bootstrap_intervals(lead, draws=evaluator.draws, seed=evaluator.seed)["lead"],
        }
    return found


def _lineage(artifact: Artifact) -> dict[str, Any]:
    return {"fingerprint": artifact.fingerprint, **artifact.facts, "settings": artifact.config}


STAGE = Stage(
    name="evaluate",
    kind="evaluation",
    version=1,
    reads=("evaluate",),
    inputs=lambda config: ("dataset", "recommendations"),
    build=build,
)
