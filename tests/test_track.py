"""Every tracker receives the same curves and figures: what the artifacts hold, read back from what the tracker wrote."""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrec.engine.artifacts import Artifact
from genrec.engine.components import instantiate
from genrec.engine.config import compose
from genrec.engine.pipeline import execute
from genrec.engine.runs import Run
from genrec.engine.tracking.csv_files import CSVTracker
from genrec.engine.tracking.tracker import Session, Tracker, tracked_settings

WORLD = ("experiment=demo", "data.num_users=120", "data.num_items=80", "data.events_per_user=6.0", "threads=1")
MODEL = ("tokenizer.codebook_size=8", "generator.dim=16", "evaluate.draws=20")
TRAIN = ("train.epochs=2", "train.num_validations=2", "train.validation_users=60")
LOGGERS = ("csv", "tensorboard", "wandb")
Point = tuple[str, int]  # figure, step


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """W&B writes nothing outside, and belongs to no sweep."""
    for place in ("DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"WANDB_{place}_DIR", str(tmp_path / place))
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_MODE", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)


def run(runs: Path, *overrides: str, until: str = "evaluate") -> tuple[Run, list[str]]:
    said: list[str] = []
    return execute(compose([*WORLD, *MODEL, *TRAIN, f"paths.runs={runs}", *overrides]), until=until, log=said.append), said


# --- reading back ---------------------------------------------------------------------------------------------------------


def read_csv(folder: Path) -> tuple[dict[str, float], dict[Point, float]]:
    def rows(name: str) -> list[dict[str, str]]:
        with (folder / "csv" / f"{name}.csv").open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    curves = {
        (key, int(row["step"])): float(value)
        for row in rows("metrics")
        for key, value in row.items()
        if key not in ("config", "step") and value
    }
    return {row["figure"]: float(row["value"]) for row in rows("final")}, curves


def read_tensorboard(folder: Path) -> tuple[dict[str, float], dict[Point, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [session] = (folder / "tensorboard").iterdir()
    found = []
    for part in ("final", "curves"):
        events = EventAccumulator(str(session / part), size_guidance={"scalars": 0}).Reload()
        points = [((tag, event.step), event.value) for tag in events.Tags()["scalars"] for event in events.Scalars(tag)]
        assert len(dict(points)) == len(points), "a point was written twice"
        found.append(dict(points))
    return {key: value for (key, _), value in found[0].items()}, found[1]


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of a .wandb file: seven bytes, then protobuf messages in LevelDB's log format (blocks of 32 KiB)."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, message = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        _, length, part = struct.unpack("<IHB", data[place : place + 7])
        message += data[place + 7 : place + 7 + length]
        place += 7 + length
        if part in (1, 4):  # whole, or the last piece
            record = Record()
            record.ParseFromString(message)
            yield record
            message = b""


def read_wandb(folder: Path) -> tuple[dict[str, float], dict[Point, float]]:
    """Of the run that was written last: what ``wandb sync`` would leave on the server."""
    summary: dict[str, Any] = {}
    curves: dict[Point, float] = {}
    for record in wandb_records(sorted((folder / "wandb").glob("offline-run-*/*.wandb"))[-1]):
        for item in record.summary.update:
            summary["/".join(item.nested_key) or item.key] = json.loads(item.value_json)
        if record.WhichOneof("record_type") == "history":
            row = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            curves |= {(key, row["train/step"]): value for key, value in row.items() if "train/step" in row}
    return summary, curves


READ = {"csv": read_csv, "tensorboard": read_tensorboard, "wandb": read_wandb}


@pytest.mark.slow
def test_every_tracker_holds_the_figures_of_metrics_json_and_the_curves_of_training(runs: Path) -> None:
    for logger in LOGGERS:  # the first one trains; for the others everything is up to date
        made, said = run(runs, "name=same", f"logger={logger}")
        assert not [line for line in said if "WARNING: the tracker" in line]
    metrics, history = made.metrics, json.loads((made.path / "generator" / "history.json").read_text(encoding="utf-8"))
    final = dict(metrics["model"])
    final |= {f"baselines/{name}/{key}": value for name, row in metrics["baselines"].items() for key, value in row.items()}
    final |= {f"bounds/{name}/{key}": value for name, row in metrics["bounds"].items() for key, value in row.items()}
    for key, (low, high) in metrics["intervals"].items():
        final |= {f"intervals/{key}/low": low, f"intervals/{key}/high": high}
    final["tokenizer/collision_rate"] = made.artifact("tokenizer").facts["collision_rate"]
    final |= {f"tokenizer/perplexity/{i}": p for i, p in enumerate(made.artifact("tokenizer").facts["perplexity"])}
    final["recommendations/splits/test/users_per_second"] = made.artifact("recommendations").facts["splits"]["test"][
        "users_per_second"
    ]
    final["dataset/num_users"] = 120
    assert final["val/ndcg@10"] != made.artifact("generator").facts["best"]["val/ndcg@10"], "all users, not the sample"
    curves = {(key, row["step"]): row[key] for row in history for key in row if "/" in key}
    curves |= {("train/targets", row["step"]): row["targets"] for row in history}
    assert len(history) == 2

    logged = {logger: READ[logger](made.path / "logs") for logger in LOGGERS}
    for logger, (figures, points) in logged.items():
        as_stored = np.float32 if logger == "tensorboard" else float
        assert {key: as_stored(figures[key]) for key in final} == {key: as_stored(value) for key, value in final.items()}, (
            logger
        )
        assert {key: as_stored(points[key]) for key in curves} == {key: as_stored(value) for key, value in curves.items()}
        assert {key for key, _ in points} >= {"train/loss", "val/ndcg@10", "train/targets"}
    assert set(logged["csv"][0]) == set(logged["tensorboard"][0]) <= set(logged["wandb"][0])

    folder = sorted((made.path / "logs" / "wandb").glob("offline-run-*"))[-1]
    records = list(wandb_records(next(folder.glob("*.wandb"))))
    artifacts = {record.artifact.name for record in records if record.WhichOneof("record_type") == "artifact"}
    assert artifacts >= {f"{kind}-{fingerprint}" for kind, fingerprint in made.links.items()}
    settings = {item.key: json.loads(item.value_json) for record in records for item in record.run.config.update}
    assert settings["train.epochs"] == 2
    assert settings["generator"] == "encdec"

    for logger in ("csv", "tensorboard"):  # logged again, kept once
        run(runs, "name=same", f"logger={logger}")
        assert READ[logger](made.path / "logs") == logged[logger]


def test_after_training_alone_the_best_validation_figure_is_the_final_one(runs: Path) -> None:
    made, _ = run(runs, "name=trained", "logger=csv", until="train")
    figures, _ = read_csv(made.path / "logs")
    assert figures["val/ndcg@10"] == made.artifact("generator").facts["best"]["val/ndcg@10"]
    assert not [key for key in figures if key.startswith("test/")]


def test_a_tracker_that_fails_costs_no_run(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: CSVTracker, *given: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(CSVTracker, "figures", full)
    made, said = run(runs, "name=unlucky", "logger=csv", until="tokenize")
    assert made.kinds == ("dataset", "encoder", "tokenizer")
    assert [line for line in said if line.startswith("WARNING")] == [
        "WARNING: the tracker failed and is left alone (OSError: disk full)"
    ]


# --- one tracker at a time ---------------------------------------------------------------------------------------------------


def opened(logger: str, folder: Path, *, key: str = "k1", said: list[str] | None = None, **more: Any) -> Tracker:
    node = dict(compose([f"logger={logger}"]).tree["logger"]) | more
    log = (said if said is not None else []).append
    tracker = instantiate(node).open(Session("base,seed=0", "base", key, folder / "logs", {"train.lr": 0.1}, log))
    assert tracker is not None
    return tracker


@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_a_process_that_goes_on_adds_to_the_curve(logger: str, tmp_path: Path) -> None:
    for steps in ([10, 20], [10, 20, 30]):
        tracker = opened(logger, tmp_path)
        for step in steps:
            tracker.curve(step, {"train/loss": 1 / step})
        tracker.figures({"val/ndcg@10": 0.25}, step=20)
        tracker.close(failed=False)
    figures, points = READ[logger](tmp_path / "logs")
    assert points == {("train/loss", step): pytest.approx(1 / step, rel=1e-6) for step in (10, 20, 30)}
    assert figures == {"val/ndcg@10": 0.25}


def test_another_configuration_leaves_the_earlier_curve_alone(tmp_path: Path) -> None:
    for key, value in (("k1", 1.0), ("k2", 2.0), ("k2", 3.0)):
        opened("csv", tmp_path, key=key).curve(10, {"train/loss": value})
        tracker = opened("tensorboard", tmp_path, key=key)
        tracker.curve(10, {"train/loss": value})
        tracker.close(failed=False)
    kept = pl.read_csv(tmp_path / "logs" / "csv" / "metrics.csv")
    assert kept.rows() == [("k1", 10, 1.0), ("k2", 10, 3.0)]
    assert sorted(path.name for path in (tmp_path / "logs" / "tensorboard").iterdir()) == ["k1", "k2"]


class FakeRun:
    """W&B's side of a run."""

    def __init__(self, *, resumed: bool = False, **given: Any) -> None:
        self.given, self.resumed, self.dir = given, resumed, "there/files"
        self.summary: dict[str, Any] = {"train/step": 20} if resumed else {}
        self.logged: list[Mapping[str, Any]] = []
        self.artifacts: list[tuple[str, str]] = []
        self.exit_code: int | None = None

    def define_metric(self, name: str, step_metric: str) -> None: ...

    def log(self, row: Mapping[str, Any]) -> None:
        self.logged.append(row)

    def log_artifact(self, artifact: Any) -> None:
        self.artifacts.append(("made", artifact.name))

    def use_artifact(self, artifact: Any) -> None:
        self.artifacts.append(("used", artifact.name))

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands in for wandb.init: ``reachable``, ``resumed``, and the ``runs`` it opened."""
    import wandb

    server = SimpleNamespace(reachable=True, resumed=False, runs=[])

    def init(*, mode: str, **given: Any) -> FakeRun:
        if mode == "online" and not server.reachable:
            raise wandb.errors.CommError("no such host\nmore about it")
        server.runs.append(FakeRun(resumed=server.resumed, mode=mode, **given))
        return server.runs[-1]

    monkeypatch.setattr(wandb, "init", init)
    return server


def artifact(folder: Path, kind: str) -> Artifact:
    folder.mkdir(parents=True)
    (folder / "big.bin").write_bytes(b"x" * 2000)
    (folder / "small.txt").write_text("hello", encoding="utf-8")
    files = {"big.bin": {"bytes": 2000}, "small.txt": {"bytes": 5}}
    manifest = {
        "schema": 1,
        "kind": kind,
        "fingerprint": "f1",
        "inputs": {},
        "config": {},
        "facts": {},
        "genrec": "0",
        "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return Artifact(folder)


def test_wandb_knows_what_a_run_made_and_what_it_used(tmp_path: Path, server: SimpleNamespace) -> None:
    made, used = artifact(tmp_path / "g", "generator"), artifact(tmp_path / "d", "dataset")
    tracker = opened("wandb", tmp_path, mode="online")
    tracker.artifact(used, is_new=False)
    tracker.artifact(made, is_new=True)
    assert server.runs[0].artifacts == [("used", "dataset-f1"), ("made", "generator-f1")]
    again = opened("wandb", tmp_path, mode="online")
    again.artifact(made, is_new=False)
    assert server.runs[1].artifacts == [("made", "generator-f1")], "a run does not use what it made itself"
    opened("wandb", tmp_path).artifact(used, is_new=False)
    assert server.runs[2].artifacts == [("made", "dataset-f1")], "offline W&B refuses use_artifact"


def test_wandb_goes_on_with_its_run(tmp_path: Path, server: SimpleNamespace) -> None:
    opened("wandb", tmp_path)
    server.resumed = True
    tracker = opened("wandb", tmp_path)
    other = opened("wandb", tmp_path, key="k2")
    first, second, third = (opened.given for opened in server.runs)
    assert first["id"] == second["id"] != third["id"]
    assert (first["name"], first["group"], first["config"]) == ("base,seed=0", "base", {"train.lr": 0.1})
    for step in (10, 20, 30):
        tracker.curve(step, {"train/loss": 1.0})
    assert server.runs[1].logged == [{"train/step": 30, "train/loss": 1.0}], "the server has the points up to 20"
    other.close(failed=True)
    assert server.runs[2].exit_code == 1


def test_the_runs_of_a_sweep_are_a_group(runs: Path, server: SimpleNamespace) -> None:
    for name in ("'grid,seed=0'", "alone"):  # as `genrec run -m` names them
        run(runs, f"name={name}", "logger=wandb", until="prepare")
    assert [opened.given["group"] for opened in server.runs] == ["grid", None]
    assert [opened.exit_code for opened in server.runs] == [0, 0]
    assert server.runs[0].summary["dataset/num_users"] == 120


def test_wandb_out_of_reach_goes_on_offline(tmp_path: Path, server: SimpleNamespace) -> None:
    server.reachable, said = False, []
    opened("wandb", tmp_path, mode="online", said=said).close(failed=False)
    assert [run.given["mode"] for run in server.runs] == ["offline"]
    assert said == [
        "WARNING: W&B cannot be reached (no such host); going on with logger.mode=offline",
        "W&B, offline: upload it with `wandb sync there`",
    ]


def test_only_small_files_travel(tmp_path: Path) -> None:
    from genrec.engine.tracking.wandb import wandb_artifact

    sent = wandb_artifact(artifact(tmp_path / "g", "generator"), upload_bytes=1000)
    entries = sent.manifest.entries
    assert entries["big.bin"].ref == (tmp_path / "g" / "big.bin").as_uri()
    assert entries["small.txt"].ref is None
    assert wandb_artifact(artifact(tmp_path / "h", "generator"), upload_bytes=0).manifest.entries["small.txt"].ref is not None


def test_settings_have_the_keys_of_the_command_line() -> None:
    config = compose(["experiment=demo", "train.lr=0.002", "train.betas=[0.8,0.9]", "name=n"])
    settings = tracked_settings(config)
    assert settings["train.lr"] == 0.002
    assert settings["train.betas"] == "[0.8, 0.9]"
    assert settings["tokenizer"] == "rq_kmeans"
    assert "name" not in settings
    numbers = [f"{key}={value}" for key, value in settings.items() if type(value) in (int, float)]
    assert len(numbers) > 30
    assert compose(["experiment=demo", "train.betas=[0.8,0.9]", "name=n", *numbers]).tree == config.tree


@pytest.mark.slow
def test_every_tracker_holds_the_log_of_steps(runs: Path) -> None:
    held: dict[str, dict[Point, float]] = {}
    folders: dict[str, Path] = {}
    for logger in reversed(LOGGERS):  # W&B first: it writes its file in another process
        settings = ("name=steps", "train.batch_states=100", f"paths.runs={runs / logger}")
        made, said = run(runs, *settings, f"logger={logger}", "train.log_every_n_steps=3", until="train")
        assert not [line for line in said if "WARNING: the tracker" in line]
        again, _ = run(runs, *settings, "train.log_every_n_steps=7", "train.checkpoint_minutes=null", until="train")
        assert again.links == made.links, "log and checkpoints enter no fingerprint"
        folders[logger] = made.path / "logs"
    for logger, folder in folders.items():
        _, points = READ[logger](folder)
        assert any(key == "train/loss" for key, _ in points), "rounds are there beside the steps"
        if logger == "csv":
            with (folder / "csv" / "steps.csv").open(newline="", encoding="utf-8") as stream:
                rows = list(csv.DictReader(stream))
            points |= {(key, int(row["step"])): float(row[key]) for row in rows for key in row if key.startswith("step/")}
        held[logger] = {point: figure for point, figure in points.items() if point[0] in ("step/loss", "step/lr")}
    assert len(held["csv"]) >= 4
    assert all(step % 3 == 0 for _, step in held["csv"])
    assert held["wandb"] == pytest.approx(held["csv"])
    assert held["tensorboard"] == pytest.approx(held["csv"], rel=1e-6)
