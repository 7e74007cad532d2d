"""Tracking of a run: the interface of trackers, and which figures of the run the chosen one (``logger`` group) gets.

All trackers get the same: curves during training and, after each stage, the figures of its artifact, whether new or stored:

    train/loss  val/ndcg@10  train/targets        by step, on the validation sample
    step/loss  step/lr  step/targets_per_second   by step, while training: not kept in the artifact
    test/recall@10  val/ndcg@10 ...               as in metrics.json; after `genrec train` alone, val/ is the best round's
    baselines/<name>/...  members/<name>/...  bounds/<name>/...    the same keys of those
    intervals/test/recall@10/low, .../high
    <kind>/...                                    every number among an artifact's facts: tokenizer/perplexity/0 (per level)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genrec.engine.aliases import with_first_published
from genrec.engine.artifacts import Artifact, Store
from genrec.engine.components import TARGET, instantiate
from genrec.engine.config import Config
from genrec.engine.fingerprints import digest
from genrec.engine.overrides import flat_settings
from genrec.engine.runs import Run, read_metrics
from genrec.errors import GenRecError

if TYPE_CHECKING:
    import polars as pl

Setting = bool | int | float | str | None


@dataclass(frozen=True)
class Session:
    """One process at work on a run.

    Args:
        name: of the run.
        group: what runs of one sweep share, or None.
        key: stands for the run's configuration and data. Another key under the same name is another experiment: its curves
            are added to the earlier ones and replace nothing.
        folder: ``<run>/logs``; each tracker has a folder of its own in it.
        settings: the flat configuration: ``train.lr``, ``tokenizer``, ``tokenizer.num_levels``, ...
        log: prints a line.
    """

    name: str
    group: str | None
    key: str
    folder: Path
    settings: Mapping[str, Setting]
    log: Callable[[str], None]


class Tracker(Protocol):
    """Receives the figures of a run while it runs.

    A process that resumes a run sends all figures again from the start, so a tracker has to count repeated figures once.
    """

    def curve(self, step: int, figures: Mapping[str, float]) -> None:
        """Adds a point to the curve of each figure.

        Args:
            step: training steps done.
            figures: ``train/loss``, ``val/ndcg@10``, ``train/targets`` (seen so far), ... of a round, or ``step/loss``,
                ``step/lr``, ... of the steps since the last such call.
        """

    def figures(self, figures: Mapping[str, float], step: int) -> None:
        """Keeps figures of the run as a whole; a later value of the same figure replaces the earlier one.

        Args:
            figures: ``test/recall@10``, ``tokenizer/collision_rate``, ...
            step: training steps behind the weights that they are about, 0 before training.
        """

    def artifact(self, artifact: Artifact, is_new: bool) -> None:
        """Notes that the run made an artifact, or (not ``is_new``) used it from the store."""

    def table(self, name: str, rows: pl.DataFrame) -> None:
        """Keeps a small table to look at."""

    def close(self, failed: bool) -> None:
        """Writes what is left."""


STEPS = "step/"  # what the names of the log of steps begin with
SAMPLED_USERS, SHOWN_ITEMS, SHOWN_HISTORY = 20, 10, 5  # of the table of recommendations
UNTRACKED = ("name", "paths", "plugins", "logger")  # what a run is called and where it lies, not what it is
MACHINE = ("device", "threads")  # a run that goes on elsewhere is still the same


@contextmanager
def tracking(config: Config, run: Run, dataset: str, log: Callable[[str], None]) -> Iterator[Tracking]:
    """Opens the tracker that a configuration names, and closes it whatever happens.

    Args:
        config: of the run.
        run: its folder.
        dataset: fingerprint.
        log: prints a line.

    Raises:
        ConfigError: when the tracker's package is missing; any other failure of a tracker only causes a warning.
    """
    tracker = Tracking(run.store, log)
    tracker.open(config, run, dataset)
    try:
        yield tracker
    except BaseException:
        tracker.close(failed=True)
        raise
    tracker.close(failed=False)


class Tracking:
    """A run's tracker, or none. After a failure of the tracker, one warning is logged and the run goes on without it."""

    def __init__(self, store: Store, log: Callable[[str], None]) -> None:
        self._store, self._log = store, log
        self._tracker: Tracker | None = None
        self._step = 0

    def open(self, config: Config, run: Run, dataset: str) -> None:
        """Opens the tracker with the run's settings."""
        if (node := config.tree.get("logger")) is None:
            return
        parts = {key: part for key, part in config.tree.items() if key not in (*UNTRACKED, *MACHINE)}
        session = Session(
            name=run.name,
            group=run.name.partition(",")[0] if "," in run.name else None,  # a sweep names its runs <base>,<what is special>
            key=digest([with_first_published(parts), dataset])[:12],
            folder=run.path / "logs",
            settings=tracked_settings(config),
            log=self._log,
        )
        try:
            self._tracker = instantiate(node, "logger").open(session)
        except GenRecError:
            raise
        except Exception as error:
            self._give_up(error)

    def round(self, row: Mapping[str, float]) -> None:
        """Sends the figures of a round of training, or an entry of the log of its steps."""
        self._call_tracker(lambda tracker: _track_round(tracker, row))

    def stage(self, artifact: Artifact, is_new: bool) -> None:
        """Sends the artifact of a stage, new or from the store."""
        if artifact.kind == "generator":
            self._step = int(artifact.facts.get("best", {}).get("step", 0))
        self._call_tracker(lambda tracker: _track_artifact(tracker, artifact, is_new, self._step, self._store))

    def close(self, failed: bool) -> None:
        """Lets the tracker write what is left."""
        self._call_tracker(lambda tracker: tracker.close(failed))

    def _call_tracker(self, what: Callable[[Tracker], None]) -> None:
        if self._tracker is not None:
            try:
                what(self._tracker)
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._tracker = None
        self._log(f"WARNING: the tracker failed and is left alone ({type(error).__name__}: {error})")


def tracked_settings(config: Config) -> dict[str, Setting]:
    """Group -> chosen option, and every setting under the key that sets it on the command line: ``train.lr``."""
    settings: dict[str, Any] = dict(config.choices)
    for key, node in config.tree.items():
        if key not in UNTRACKED:
            leaves = ((key_path, value) for key_path, value in flat_settings(node, key) if not isinstance(value, Mapping))
            settings |= {key_path: value for key_path, value in leaves if not key_path.endswith(TARGET)}
    settings_kept = ((key, value) for key, value in settings.items() if key not in UNTRACKED)
    return {key: json.dumps(value) if isinstance(value, list | tuple) else value for key, value in settings_kept}


def figures_of(artifact: Artifact) -> dict[str, float]:
    """Returns the figures that an artifact adds to its run."""
    if artifact.kind == "evaluation":
        metrics = read_metrics(artifact.path)
        named = {
            f"intervals/{key}": dict(zip(("low", "high"), pair, strict=True)) for key, pair in metrics["intervals"].items()
        }
        others: dict[str, Any] = {
            key: metrics[key] for key in ("baselines", "members", "bounds", "best_baseline", "best_member", "users")
        }
        return dict(_numbers(metrics["model"] | others | named))
    facts, best = artifact.facts, {}
    if artifact.kind == "generator" and "best" in facts:  # evaluation will overwrite these keys
        best = {key: value for key, value in facts["best"].items() if key.startswith("val/")}
    return dict(_numbers(best | {artifact.kind: facts | {"seconds": artifact.manifest.get("seconds")}}))


def sample_recommendations(artifact: Artifact, dataset: Artifact) -> pl.DataFrame:
    """A row per sampled user: user, history, what came next, recommended, rank of the first hit or null.

    Args:
        artifact: recommendations; users of the last of its splits, evenly spread over the table.
        dataset: what they were made from.
    """
    import polars as pl

    from genrec.core.dataset import Dataset
    from genrec.core.item_labels import item_titles
    from genrec.types import ITEM_ID, RANK, SPLIT, USER_ID

    data = Dataset.load(dataset.path)
    table = pl.read_parquet(artifact.path / "recommendations.parquet", glob=False)
    split = table[SPLIT][-1]
    table = table.filter(pl.col(SPLIT) == split).sort(RANK)
    users = table[USER_ID].unique().sort()
    users = users.gather_every(max(1, len(users) // SAMPLED_USERS)).head(SAMPLED_USERS)
    titles, row_of = item_titles(data), {user: row for row, user in enumerate(data.user_ids)}
    title_of = dict(zip(data.item_ids, titles, strict=True))
    histories, targets, rows = data.histories(split), data.targets(split), []
    for user in users:
        row = row_of[user]
        listed = table.filter(pl.col(USER_ID) == user)
        came = {data.item_ids[int(item)] for item in targets[row]}
        rows.append(
            {
                "user": user,
                "history": "; ".join(titles[item] for item in histories[row][-SHOWN_HISTORY:]),
                "what came next": "; ".join(sorted(title_of[item] for item in came)),
                "recommended": "; ".join(title_of.get(item, item) for item in listed[ITEM_ID][:SHOWN_ITEMS]),
                "hit at rank": next((r for i, r in zip(listed[ITEM_ID], listed[RANK], strict=True) if i in came), None),
            }
        )
    return pl.DataFrame(rows)


def _track_round(tracker: Tracker, row: Mapping[str, float]) -> None:
    curves = {key: value for key, value in row.items() if "/" in key}
    seen = {"train/targets": row["targets"]} if "targets" in row else {}
    tracker.curve(int(row["step"]), curves | seen)


def _track_artifact(tracker: Tracker, artifact: Artifact, is_new: bool, step: int, store: Store) -> None:
    if (history := artifact.path / "history.json").exists():
        for row in json.loads(history.read_text(encoding="utf-8")):
            _track_round(tracker, row)
    tracker.figures(figures_of(artifact), step)
    tracker.artifact(artifact, is_new)
    if artifact.kind == "recommendations":
        dataset = Artifact(store.folder("dataset", artifact.inputs["dataset"]))
        tracker.table(artifact.kind, sample_recommendations(artifact, dataset))


def _numbers(node: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yields each number with its key; the entries of a list are numbered."""
    for key, value in flat_settings(node, mark="/"):
        entries = ((f"{key}/{i}", entry) for i, entry in enumerate(value)) if isinstance(value, list) else ((key, value),)
        yield from ((name, entry) for name, entry in entries if isinstance(entry, int | float) and not isinstance(entry, bool))
