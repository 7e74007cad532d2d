"""evaluate: counts the recommended items that came true, for the model, the baselines and the exact bounds -> ``evaluation``.

The lists are those of the run's own model, or of ``recommendations=FILE``, whoever wrote it. metrics.json:

    model             metric key (``test/recall@10``) -> figure: accuracy at every k, the rest at the headline k
    baselines         name -> the same; and again as ``floors``, for scripts written before
    bounds            name -> the same, but accuracy only
    baseline_settings name -> what was chosen on validation: settings, chosen, val/ndcg@10 of the sample, tried, users
    measured          the baseline that is evaluated instead of a model (``evaluate.model``); null: a model
    published         name -> figures of others, as they were given (``evaluate.published``)
    intervals         key -> [low, high] of every figure that is a mean over users; baseline_intervals: name -> the same
    best_baseline     short split -> name of the baseline with the best ndcg, metric, the model's paired lead, its interval
    members           of an ensemble: name -> the figures of each scorer alone; member_intervals and best_member as of baselines
    slices            short split -> entries: slice, name, targets, users, share; rows and intervals: recommender ("model" or a
                      baseline) -> recall and ndcg at the headline k (see ``measure_slices``)
    labels            metric -> what pages call it; only with ``evaluate.metrics``
    left_out          figure, or baseline, -> why it could not be counted here
    rules             what was counted and how; ``source`` is "run", "file" or "baseline", ``counted`` targets by split
    users, dataset, warnings

per_user.parquet has the model's figures of every user, per_user_baselines.parquet those of the baselines, of users with a hit.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl

from genrec.baselines.lib.ranking import Score, ranked_tables
from genrec.baselines.popularity import Popularity
from genrec.core.dataset import Dataset
from genrec.core.item_labels import AUTO
from genrec.data.lib.demo_world import WORLD_FILE, World
from genrec.data.lib.events import target_facts
from genrec.engine.components import instantiate
from genrec.engine.runs import METRICS_FILE
from genrec.engine.stage import Stage, StageContext
from genrec.errors import ConfigError, GenRecError, did_you_mean
from genrec.evaluation.candidate_lists import read_candidates
from genrec.evaluation.evaluated_lists import lists_of_run
from genrec.evaluation.evaluation_spec import headline_k, held_out_targets, item_facts, usable_ks
from genrec.evaluation.fitted_baselines import (
    BASELINES_FILE,
    BEST,
    baseline_lists,
    chosen_baselines,
    scores_after,
    text_vectors,
)
from genrec.evaluation.list_settings import TABLE_FILE, list_inputs
from genrec.evaluation.measure import METRICS, Measured, Ruler, accuracy, by_key, intervals_of, lead_over_best, measure
from genrec.evaluation.slices import measure_slices, slices
from genrec.model.id_assignment import assignment_inputs
from genrec.protocols import Baseline, HitMetric, ListMetric
from genrec.types import EVENT_TYPE, SHORT_SPLIT, SPLIT, USER_ID, WEIGHT, Split

Lists = Callable[[Split], pl.DataFrame]
REQUIRED = ("recall", "ndcg")
METRIC_KEY = re.compile(r"(test|val)/\w+@\d+")


class Evaluator:
    """What is counted and compared.

    Args:
        baselines: by name, what the model has to beat. Their open settings (null) are chosen on validation.
        model: null: lists of the run, or of a file, are measured. A baseline's name: that one in the model's place; "best": the
            one that is best on validation. Nothing is trained then.
        search_users: with a validation target, on whom open settings of baselines are chosen; 0: the first value of each grid.
        ks: list lengths to measure at, each >= 1.
        draws: bootstrap resamples of the users, >= 1.
        seed: of the bootstrap.
        target_weights: what held-out events are worth, by event type, or "weight" for the interactions' column of that name;
            None: every held-out item is one target. Recall and ndcg weigh; the other metrics only see which targets are left.
        category: column of the items with their categories, "auto" for ``category`` or ``categories``, or None.
        users: "all" with something held out, where a missing list counts 0, or "listed": only those with a list, for lists of
            a sample of the users. The baselines are measured on the same users.
        published: name -> metric key (``test/recall@10``) -> figure of others, shown beside the model's and counted by nobody.
        slice_columns: columns of the items to slice the targets by, besides popularity, history length, category and time.
        metrics: options of the ``metric`` group, recall and ndcg among them: ``[default,mine]``. None: the usual ones.
    """

    def __init__(
        self,
        *,
        baselines: Mapping[str, Baseline],
        model: str | None = None,
        search_users: int = 5000,
        ks: tuple[int, ...] = (1, 5, 10, 20, 50),
        draws: int = 1000,
        seed: int = 0,
        target_weights: Mapping[str, float] | Literal["weight"] | None = None,
        category: str | None = AUTO,
        slice_columns: tuple[str, ...] = (),
        users: Literal["all", "listed"] = "all",
        published: Mapping[str, Mapping[str, float]] | None = None,
        metrics: Mapping[str, HitMetric | ListMetric] | None = None,
    ) -> None:
        if not ks or min(ks) < 1:
            raise ConfigError("ks", expected="list lengths of 1 or more", got=ks, fix="give evaluate.ks=[5,10]")
        if draws < 1:
            raise ConfigError("draws", expected="1 or more", got=draws, fix="give evaluate.draws=1000")
        for kind, weight in target_weights.items() if isinstance(target_weights, Mapping) else ():
            if weight < 0:
                raise ConfigError(f"target_weights.{kind}", expected="0 or more", got=weight, fix="0 makes it no target")
        if search_users < 0:
            raise ConfigError("search_users", expected="0 or more", got=search_users, fix="give evaluate.search_users=5000")
        if model is not None and model not in (BEST, *baselines):
            fix = did_you_mean(model, (BEST, *baselines))
            raise ConfigError("model", expected="best, or one of evaluate.baselines", got=model, fix=fix)
        if "model" in baselines:
            raise ConfigError(
                "baselines", expected="names of baselines", got="model", fix="call it otherwise: model is the model"
            )
        for name, figures in (published or {}).items():
            if wrong := [key for key in figures if not METRIC_KEY.fullmatch(key)]:
                raise ConfigError(
                    f"published.{name}", expected="metric keys such as test/recall@10", got=wrong[0], fix="write it that way"
                )
        self.model, self.search_users = model, search_users
        self.published = {name: dict(figures) for name, figures in (published or {}).items()}
        self.ks, self.draws, self.seed, self.baselines = sorted(set(ks)), draws, seed, dict(baselines)
        self.target_weights, self.category, self.slice_columns = target_weights, category, slice_columns
        self.users = users
        if metrics is not None and not set(REQUIRED) <= set(metrics):
            fix = f"give evaluate.metrics=[{','.join((*REQUIRED, *(name for name in metrics if name not in REQUIRED)))}]"
            expected = f"{' and '.join(REQUIRED)} among them, which baselines, slices and pages are compared by"
            raise ConfigError("metrics", expected=expected, got=list(metrics), fix=fix)
        shipped = {name: METRICS[name] for name in METRICS if name in (metrics or {})}  # in the usual order
        self.metrics = METRICS if metrics is None else {**shipped, **metrics}
        self.labels = {} if metrics is None else {name: metric.label for name, metric in self.metrics.items()}


def inputs(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Lists, and artifacts of the run that show how similar items are; only the dataset where a file has the lists."""
    if config["evaluate"].get("model") is not None:
        without_items = "items" in config["data"] and config["data"]["items"] is None
        return ("dataset",) if without_items else ("dataset", "encoder")  # which has nothing to read there
    if config.get("recommendations") is not None:
        return ("dataset",)
    kinds = set(list_inputs(config))
    if "sids" in kinds:
        kinds.update(assignment_inputs(config))
    return ("dataset", "recommendations", *(kind for kind in ("encoder", "sids") if kind in kinds))


def build(context: StageContext) -> dict[str, Any]:
    """Writes metrics.json, per_user.parquet and per_user_baselines.parquet; the lists too when they are not the run's own."""
    evaluator: Evaluator = instantiate(context.config["evaluate"], "evaluate", **text_vectors(context))
    dataset = Dataset.load(context.inputs["dataset"].path)
    repeats, settings = target_facts(dataset), instantiate(context.config["recommend"], "recommend")
    candidates = read_candidates(settings.candidates, dataset, settings.splits, context.log)
    lists = None if evaluator.model else lists_of_run(context, dataset, candidates)
    exclude_seen = lists.exclude_seen if lists else settings.exclude_seen
    choices, not_fitted = chosen_baselines(
        context,
        evaluator.baselines,
        dataset,
        exclude_seen=exclude_seen,
        num_users=evaluator.search_users,
        seed=evaluator.seed,
        request=settings.request,
    )
    lists = lists or baseline_lists(choices, evaluator.model or BEST, dataset, settings, candidates)
    ks = usable_ks(evaluator.ks, lists, context.log)
    facts, left_out = item_facts(context, dataset, evaluator.category)
    targets = held_out_targets(context, dataset, evaluator.target_weights)
    targets = lists.listed_splits(targets, dataset.facts.get("split"), only_listed=evaluator.users == "listed")
    ruler = Ruler(targets, ks, headline_k(ks), facts, evaluator.metrics)
    left_out = {figure: why for figure, why in left_out.items() if figure in ruler.metrics}
    warnings = [*_warnings(targets, repeats, lists.exclude_seen), *lists.warnings(targets, ks)]
    warnings += candidates.doubts if candidates else []
    for warning in warnings:
        context.log(f"WARNING: {warning}")

    def ranked(score_in: Callable[[Split], Score], shown: int = 0) -> Lists:
        def of(split: Split) -> pl.DataFrame:
            mask = candidates.mask(split) if candidates else None
            tables = ranked_tables(
                score_in(split),
                dataset,
                split,
                k=max(ks),
                exclude_seen=lists.exclude_seen,
                hits_only=True,
                shown=shown,
                allowed=mask,
            )
            return pl.concat(tables)

        return of

    baselines: dict[str, Measured] = {}
    popularity = None
    for name in sorted(choices, key=lambda name: not isinstance(choices[name].baseline, Popularity)):
        start, baseline = time.perf_counter(), choices[name].baseline
        is_popularity = popularity is None and isinstance(baseline, Popularity)
        baselines[name] = measure(
            ranked(partial(scores_after, baseline, dataset, request=settings.request), ruler.headline_k),
            ruler,
            popularity,
            is_popularity=is_popularity,
        )
        popularity = baselines[name] if is_popularity else popularity
        context.log(f"{name}: ranked in {time.perf_counter() - start:.1f} s")
    baselines = {name: baselines[name] for name in choices}
    rivals = {name: baseline for name, baseline in baselines.items() if name != lists.baseline}
    model = measure(lists.of, ruler, popularity)
    members = {name: measure(_lists_in(file), ruler, popularity) for name, file in lists.members.items()}
    if popularity is None and "serendipity" in ruler.metrics:
        left_out["serendipity"] = "there is no popularity baseline to compare with"
    for figure, why in left_out.items():
        context.log(f"no {figure}: {why}")
    bounds = {}
    for name, score in _exact_scores(dataset, repeats, evaluator, context.log).items():
        of = ranked(_in_each_split(score))
        figures = {
            split: accuracy(of(split), pairs, ks, ruler.of_hits).drop(USER_ID).mean() for split, pairs in targets.items()
        }
        bounds[name] = {
            key: value for split, means in figures.items() for key, value in by_key(split, means.row(0, named=True)).items()
        }

    everybody = {"model": model} | baselines
    intervals = intervals_of(everybody, draws=evaluator.draws, seed=evaluator.seed)
    metric = f"ndcg@{ruler.headline_k}"
    metrics: dict[str, Any] = {
        "model": model.means,
        "baselines": (of_baselines := {name: baseline.means for name, baseline in baselines.items()}),
        "floors": of_baselines,  # the former name, for scripts that read it
        "baseline_settings": {name: choice.facts for name, choice in choices.items()},
        "measured": lists.baseline,
        "bounds": bounds,
        "published": evaluator.published,
        "intervals": intervals.pop("model"),
        "baseline_intervals": intervals,
        "best_baseline": lead_over_best(model, rivals, metric, draws=evaluator.draws, seed=evaluator.seed),
        "members": {name: member.means for name, member in members.items()},
        "member_intervals": intervals_of(members, draws=evaluator.draws, seed=evaluator.seed) if members else {},
        "best_member": lead_over_best(model, members, metric, draws=evaluator.draws, seed=evaluator.seed),
        "slices": _slices(everybody, ruler, evaluator),
        **({"labels": evaluator.labels} if evaluator.labels else {}),
        "left_out": left_out | not_fitted,
        "rules": {
            "source": lists.source,
            "ks": ks,
            "headline_k": ruler.headline_k,
            "exclude_seen": lists.exclude_seen,
            "split": dataset.facts.get("split"),
            "order": dataset.facts.get("order"),
            "ties": "expected rank",
            "candidates": candidates.facts if candidates else None,
            "list_length": lists.length,
            "targets": {split: repeats[split] for split in targets},
            "counted": {split: pairs.height for split, pairs in targets.items()},
            "users": evaluator.users,
            "target_weights": evaluator.target_weights,
            "category": facts.category,
            "bootstrap": {"draws": evaluator.draws, "seed": evaluator.seed, "level": 0.95},
        },
        "users": {split: rows.height for split, rows in model.accuracy.items()},
        "dataset": {
            "fingerprint": context.inputs["dataset"].fingerprint,
            "num_users": dataset.num_users,
            "num_items": dataset.num_items,
        },
        "warnings": warnings,
    }
    (context.folder / METRICS_FILE).write_text(json.dumps(metrics, indent=2), encoding="utf-8")
    per_user = [rows.select(pl.lit(split).alias(SPLIT), pl.all()) for split, rows in model.per_user.items()]
    pl.concat(per_user, how="diagonal").write_parquet(context.folder / "per_user.parquet")
    _write_baselines(baselines, context.folder / BASELINES_FILE)
    if lists.source != "run":
        lists.table.write_parquet(context.folder / TABLE_FILE)
    shown = ("best_baseline", *(["best_member"] if members else []), "users")
    return {"metrics": metrics["model"], **{key: metrics[key] for key in shown}}


def _write_baselines(baselines: Mapping[str, Measured], file: Path) -> None:
    """A row for each baseline and user with a hit; who has none has 0 in everything."""
    tables = [
        rows.filter(pl.any_horizontal(pl.all().exclude(USER_ID) > 0)).select(
            pl.lit(split).alias(SPLIT), pl.lit(name).alias("baseline"), pl.all()
        )
        for name, baseline in baselines.items()
        for split, rows in baseline.accuracy.items()
    ]
    if tables:
        pl.concat(tables).write_parquet(file)


def _lists_in(file: Path) -> Lists:
    """The lists of a table on disk, split by split."""
    return lambda split: pl.read_parquet(file, glob=False).filter(pl.col(SPLIT) == split)


def _warnings(
    targets: Mapping[Split, pl.DataFrame], facts: Mapping[str, Mapping[str, float]], exclude_seen: bool
) -> Iterator[str]:
    for split in targets if exclude_seen else ():
        if repeats := facts[split]["repeats"]:
            yield (
                f"{repeats:,} of {facts[split]['targets']:,} {split} targets are in their user's history and cannot be hit "
                f"because seen items are excluded (recommend.exclude_seen=false keeps them)"
            )


def _exact_scores(
    dataset: Dataset, facts: Mapping[str, Mapping[str, float]], evaluator: Evaluator, log: Callable[[str], None]
) -> dict[str, Score]:
    """The demo world's own probabilities, by how much they see (``World.bounds``)."""
    if dataset.folder is None or not (dataset.folder / WORLD_FILE).exists():
        return {}
    of_kinds = isinstance(evaluator.target_weights, Mapping)
    if evaluator.target_weights == WEIGHT or any(split["targets"] > split["users"] for split in facts.values()):
        log("no bounds: they are exact for one target a user, worth what its kind is worth")
        return {}
    try:
        world = World.load(dataset.folder)
    except GenRecError as error:
        log(f"no bounds: {error}")
        return {}
    if of_kinds and EVENT_TYPE not in world.chain.columns:
        log("no bounds: the events of this world have no kinds")
        return {}
    return world.bounds(given=(EVENT_TYPE,) if of_kinds else ())  # what a target is worth says of which kind it is


def _in_each_split(score: Score) -> Callable[[Split], Score]:
    return lambda split: score


def _slices(everybody: Mapping[str, Measured], ruler: Ruler, evaluator: Evaluator) -> dict[str, list[dict[str, Any]]]:
    category, columns = ruler.facts.category, evaluator.slice_columns
    return {
        SHORT_SPLIT[split]: measure_slices(
            slices(ruler.facts.dataset, split, targets, category=category, columns=columns),
            targets,
            {name: measured.hits[split] for name, measured in everybody.items()},
            k=ruler.headline_k,
            draws=evaluator.draws,
            seed=evaluator.seed,
        )
        for split, targets in ruler.targets.items()
    }


STAGE = Stage(
    name="evaluate",
    kind="evaluation",
    version=3,
    reads=("evaluate", "recommend", "recommendations"),
    inputs=inputs,
    build=build,
)
