"""Finished runs as models: which runs are seeds of one model, and whether all of them were measured alike."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from genrec.core.dataset import Dataset
from genrec.engine.artifacts import MANIFEST, Artifact, Store
from genrec.engine.components import TARGET
from genrec.engine.config import option_name
from genrec.engine.overrides import flat_settings
from genrec.engine.runs import METRICS_FILE, list_runs, read_metrics
from genrec.errors import ArtifactError, ConfigError, did_you_mean
from genrec.evaluation.fitted_baselines import BASELINES_FILE
from genrec.references import expand_path
from genrec.types import SPLIT, USER_ID, Split

RULES = (
    "exclude_seen",
    "split",
    "order",
    "ties",
    "target_weights",
    "candidates",
)  # of metrics.json: what changes the meaning of a figure
SEED = "seed"
COMPARISON = ".compare.html"  # what the page of a sweep is called, after the runs' common name
_SEED_IN_NAME = re.compile(rf"(^|[,._-])([\w.]+\.)?{SEED}[=_-]?\d+|,experiment=[^,]+")  # what sweeps append


@dataclass(frozen=True)
class Finished:
    """An evaluated run.

    Args:
        name: of the run.
        folder: its evaluation.
        label: the model that the user says it is a run of; None: its settings say so.
    """

    name: str
    folder: Path
    label: str | None = None

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json."""
        Artifact(self.folder).check(hashes=True)
        return read_metrics(self.folder)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every setting after the dataset, and what that one has for models to hear: ``train.lr`` -> 0.1; without seeds.

        Empty when nothing is known: of lists that another program wrote, or of an evaluation without its store.
        """
        store, values = Store(self.folder.resolve().parent.parent), dict[str, Any]()
        waiting = list(Artifact(self.folder).inputs.items())
        while waiting:
            kind, fingerprint = waiting.pop(0)
            if kind == "dataset" or not (store.folder(kind, fingerprint) / MANIFEST).exists():
                continue
            artifact = Artifact(store.folder(kind, fingerprint))
            values |= dict(flat_settings(artifact.config))
            waiting.extend(artifact.inputs.items())
        dataset = store.folder("dataset", self.metrics["dataset"]["fingerprint"])
        if values and (dataset / MANIFEST).exists():
            values |= _event_settings(Artifact(dataset).config)
        return {key: value for key, value in values.items() if key.rpartition(".")[2] != SEED}

    def baseline_scores(self, split: Split, metric: str) -> dict[str, pl.DataFrame]:
        """Baseline -> ``user_id`` and the metric of its users with a hit; of everybody else it is 0.

        Empty where the evaluation is of before baselines were kept user by user, or the metric is not one of accuracy. What
        stands in the model's place is no baseline of it.
        """
        file = self.folder / BASELINES_FILE
        if not file.exists() or metric not in pl.scan_parquet(file, glob=False).collect_schema():
            return {}
        rows = pl.read_parquet(file, columns=["baseline", SPLIT, USER_ID, metric], glob=False).filter(pl.col(SPLIT) == split)
        names = [name for name in self.metrics["baselines"] if name != self.metrics.get("measured")]
        return {name: rows.filter(pl.col("baseline") == name).select(USER_ID, metric) for name in names}

    def scores(self, split: Split, metric: str) -> pl.DataFrame:
        """``user_id`` and the metric, sorted by user.

        Raises:
            ConfigError: when that was not measured.
        """
        if split not in (splits := list(self.metrics["users"])):
            fix = f"add --split {splits[0]}"
            raise ConfigError(f"--split for {self.name}", expected=" or ".join(splits), got=split, fix=fix)
        table = pl.read_parquet(self.folder / "per_user.parquet", glob=False).filter(pl.col(SPLIT) == split)
        if metric not in (columns := table.drop(SPLIT, USER_ID).columns):
            expected, fix = self._measurable(metric, columns)
            raise ConfigError(f"--metric for {self.name}", expected=expected, got=metric, fix=fix)
        return table.select(USER_ID, metric).sort(USER_ID)

    def _measurable(self, metric: str, columns: Sequence[str]) -> tuple[str, str]:
        """Returns what to ask for instead of a metric that was not measured, and how to get that metric."""
        name, _, k = metric.partition("@")
        length = self.metrics["rules"].get("list_length")
        if length and k.isdecimal() and any(column.partition("@")[0] == name for column in columns):
            if int(k) > length:
                fix = f"run it again with recommend.k={k}"
                return f"a k of at most {length}, because the lists hold {length} items (recommend.k)", fix
            ks = sorted({int(column.partition("@")[2]) for column in columns if column.startswith(f"{name}@")} | {int(k)})
            return (
                f"a k of {', '.join(str(each) for each in ks if each != int(k))}",
                f"run it again with evaluate.ks=[{','.join(map(str, ks))}]",
            )
        return "a metric measured user by user", did_you_mean(metric, columns)


@dataclass(frozen=True)
class ComparedModel:
    """Runs that differ in nothing but seeds.

    Args:
        name: short, different from the others'.
        runs: one per seed.
        scores: a column per run; users in the order of their ids.
        users: their ids.
    """

    name: str
    runs: tuple[Finished, ...]
    scores: Float[np.ndarray, "users runs"]
    users: pl.Series


def find_runs(places: Sequence[str], *, root: Path = Path("runs")) -> list[Finished]:
    """The evaluations at ``runs/NAME``, ``runs/NAME/evaluation`` or ``NAME``; ``MODEL=PLACE`` says which model it is a run of.
    The name of a sweep (``-m ... name=NAME``) stands for all its evaluated runs.

    Several names of one evaluation count once: a second seed that changed nothing is no second measurement.

    Raises:
        ArtifactError: when there is no evaluation.
    """
    runs: dict[Path, Finished] = {}
    folders = [place for place in places if not place.endswith(COMPARISON)]  # runs/* holds the page of an earlier sweep
    for place in folders or places:
        for run in _evaluations_at(place, root):
            runs.setdefault(run.folder.resolve(), run)
    return list(runs.values())


def group(runs: Sequence[Finished], *, split: Split, metric: str) -> list[ComparedModel]:
    """Puts the seeds of a model together, in the order of their first runs.

    Raises:
        ConfigError: when the runs were not measured alike (dataset, rules, users), or not at all, or on fewer than two users.
    """
    tables = [run.scores(split, metric) for run in runs]
    for run, table in zip(runs[1:], tables[1:], strict=True):
        _check_comparable(runs[0], run, tables[0], table, split)
    columns = np.column_stack([table[metric].to_numpy() for table in tables])
    defined = ~np.isnan(columns).any(axis=1)  # not, for some users, the diversity of one item
    columns, users = columns[defined], tables[0][USER_ID].filter(pl.Series(defined))
    if len(columns) < 2:
        raise ConfigError(f"{split} {metric}", expected="two or more users", got=len(columns), fix="evaluate more users")
    members: dict[object, list[int]] = {}
    for column, run in enumerate(runs):
        model = run.label or (repr(sorted(run.settings.items())) if run.settings else run.folder)
        members.setdefault(model, []).append(column)
    names = _model_names([[runs[column] for column in places] for places in members.values()])
    return [
        ComparedModel(name, tuple(runs[column] for column in places), columns[:, places], users)
        for name, places in zip(names, members.values(), strict=True)
    ]


def differences(models: Sequence[ComparedModel]) -> dict[str, list[str]]:
    """Key of the command line -> its value in each model, where those differ; "-" where it is not used.

    Of a component that some models do not have at all, what the others have differs only where it differs among them.
    """
    settings = [model.runs[0].settings for model in models]
    differing: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for model in settings for key in model):
        root = key.partition(".")[0]
        having = [model for model in settings if any(other == root or other.startswith(f"{root}.") for other in model)]
        if len({repr(model.get(key)) for model in (settings if key == f"{root}.{TARGET}" else having)}) < 2:
            continue
        values = [str(model.get(key, "-")) for model in settings]
        if key == f"{root}.{TARGET}":
            differing[root] = [option_name(root, model) for model in settings]
        else:
            differing[key] = values
    return {key: values for key, values in differing.items() if len(set(values)) > 1}


def _evaluations_at(place: str, root: Path) -> list[Finished]:
    label, _, rest = place.partition("=")
    for text, own_label in ((place, None), (rest, label)):
        path = expand_path(text)
        for folder in (path, root / path) if text else ():
            for evaluation in (folder, folder / "evaluation"):
                if (evaluation / METRICS_FILE).exists():
                    name = folder.parent.name if folder.name == "evaluation" else folder.name
                    return [Finished(name, evaluation, own_label)]
            if sweep := sorted(folder.parent.glob(f"{glob.escape(folder.name)},*/evaluation/{METRICS_FILE}")):
                return [Finished(file.parent.parent.name, file.parent, own_label) for file in sweep]
    near = did_you_mean(Path(place).name, [run.name for run in list_runs(Path(place).parent if "/" in place else root)])
    raise ArtifactError(place, expected="a run with an evaluation", got="none", fix=f"`genrec ls` lists the runs; {near}")


def _check_comparable(first: Finished, run: Finished, users: pl.DataFrame, others: pl.DataFrame, split: Split) -> None:
    where, one, other = f"{first.name} and {run.name}", first.metrics, run.metrics
    apart: list[tuple[str, Any, Any]] = []
    if not _same_targets(first, run):
        apart.append(("dataset", _dataset_text(one["dataset"]), _dataset_text(other["dataset"])))
    apart += [(rule, one["rules"].get(rule), other["rules"].get(rule)) for rule in RULES]
    apart += [(f"number of {split} users", users.height, others.height)]
    for what, here, there in apart:
        if here != there:
            raise ConfigError(where, expected=f"the same {what}", got=f"{here} and {there}", fix="measure both alike")
    if not users[USER_ID].equals(others[USER_ID]):
        odd = users.join(others, on=USER_ID, how="anti")[USER_ID][0]
        fix = "measure both on the same users"
        raise ConfigError(where, expected=f"the same {split} users", got=f"user {odd} in the first only", fix=fix)


def _event_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a dataset has for models to hear, ``events.columns.rating`` -> number. One key is always there, to differ from."""
    events = {key: value for key, value in (config.get("events") or {}).items() if key not in (TARGET, "half_life") and value}
    return dict(flat_settings({"events": {"user_codes": False, **events}}))


def _same_targets(first: Finished, run: Finished) -> bool:
    """Whether two runs are measured on one dataset, or on two that differ in columns of events and users alone."""
    fingerprints = [finished.metrics["dataset"]["fingerprint"] for finished in (first, run)]
    if len(set(fingerprints)) == 1:
        return True
    folders = [
        Store(finished.folder.resolve().parent.parent).folder("dataset", fingerprint)
        for finished, fingerprint in zip((first, run), fingerprints, strict=True)
    ]
    if not all((folder / MANIFEST).exists() for folder in folders):
        return False
    one, other = (Dataset.load(folder) for folder in folders)
    return (
        one.item_ids.equals(other.item_ids)
        and one.user_ids.equals(other.user_ids)
        and all(np.array_equal(here, there) for here, there in zip(_parts(one), _parts(other), strict=True))
    )


def _parts(dataset: Dataset) -> tuple[np.ndarray, ...]:
    events = dataset.events
    return events.item_idx, events.offsets, dataset.train_ends, dataset.validation_ends


def _dataset_text(dataset: Mapping[str, Any]) -> str:
    return f"{dataset['fingerprint']} ({dataset['num_users']:,} users, {dataset['num_items']:,} items)"


def _model_names(models: Sequence[Sequence[Finished]]) -> list[str]:
    """Names of models: the runs' own without their seeds, and without what all models share; unique."""
    names = []
    for runs in models:
        without = [_SEED_IN_NAME.sub("", run.name) or run.name for run in runs]
        shared = without[0] if len(set(without)) == 1 else _shared_start(without)
        names.append(runs[0].label or shared or f"{runs[0].name} ...")
    parts = [name.split(",") for name in names]
    swept = [set(name_parts) for name_parts in parts if len(name_parts) > 1]
    everywhere = set.intersection(*swept) if swept else set()
    names = [",".join(part for part in name_parts if part not in everywhere) or ",".join(name_parts) for name_parts in parts]
    return [name if names.count(name) == 1 else f"{name} ({runs[0].name})" for name, runs in zip(names, models, strict=True)]


def _shared_start(names: Sequence[str]) -> str:
    """``demo_1``, ``demo_2`` -> ``demo``."""
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in same).rstrip(",._-=0123456789")
