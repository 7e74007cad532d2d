"""Killed at any moment, the same command goes on: the same result, and finished stages are never repeated."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import toy_pipeline

import genrec
from genrec.config import compose
from genrec.fingerprints import sha256_file
from genrec.runs import Run
from genrec.stages.pipeline import execute

DEMO = [
    "experiment=demo",
    "data.num_users=200",
    "data.num_items=250",
    "train.epochs=3",
    "generator.dim=32",
    "threads=1",
]
EXCLUDED = {"manifest.json", "report.html"}  # created, environment, timings; a page


def contents(run: Run) -> dict[str, str]:
    """Kind/file -> sha256, of everything that has to come out the same."""
    found = {"fingerprints": json.dumps(run.links)}
    for kind in run.kinds:
        for file in sorted((run.path / kind).rglob("*")):
            if file.is_file() and file.name not in EXCLUDED:
                found[f"{kind}/{file.relative_to(run.path / kind)}"] = sha256_file(file)
    return found


def finished(run: Run) -> dict[str, Any]:
    """Kind -> when and as what it was made."""
    made = {kind: (run.path / kind).resolve() for kind in run.kinds}
    return {kind: (str(path), (path / "manifest.json").stat().st_mtime_ns) for kind, path in made.items()}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[toy_pipeline.Built]:
    with toy_pipeline.importable(tmp_path):
        built = toy_pipeline.install(monkeypatch, tmp_path)
        built.seconds = 0.03
        yield built


def test_kills_of_a_toy_run(toy: toy_pipeline.Built, tmp_path: Path) -> None:
    def config(name: str) -> Any:
        return compose([f"paths.runs={tmp_path / name}"])

    execute(config("warm"), until="train", say=lambda line: None)
    start = time.monotonic()
    expected = contents(execute(config("straight"), until="train", say=lambda line: None))
    seconds = time.monotonic() - start
    moments, stopped_with = random.Random(0), set()
    for attempt in range(12):
        settings = config(f"killed{attempt}")
        run = Run(tmp_path / f"killed{attempt}" / "default")
        child = os.fork()
        if child == 0:
            execute(settings, until="train", say=lambda line: None)
            os._exit(0)
        time.sleep(moments.uniform(0.0, seconds))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        before = finished(run)
        stopped_with.add(len(before))
        execute(settings, until="train", say=lambda line: None)
        assert contents(run) == expected
        assert finished(run).items() >= before.items()
        assert not list((tmp_path / f"killed{attempt}" / ".store").glob("*/*.tmp"))
        assert not list((tmp_path / f"killed{attempt}" / ".store").glob("*/*.work"))
    assert len(stopped_with) >= 3, "the kills hit several stages"


def command(runs: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(genrec.__file__).parents[1])}
    words = [sys.executable, "-m", "genrec", "run", *DEMO, f"paths.runs={runs}"]
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_kills_of_a_demo_run(tmp_path: Path) -> None:
    start = time.monotonic()
    assert command(tmp_path / "straight").wait() == 0
    seconds = time.monotonic() - start
    expected = contents(Run(tmp_path / "straight" / "demo"))
    assert len(expected) > 10

    moments = random.Random(0)
    for attempt in range(20):
        runs = tmp_path / f"killed{attempt}"
        run = Run(runs / "demo")
        process = command(runs)
        time.sleep(moments.uniform(0.0, seconds))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        before = finished(run)
        print(f"killed with {list(before)}", flush=True)
        assert command(runs).wait() == 0
        assert contents(run) == expected, f"attempt {attempt}"
        assert finished(run).items() >= before.items(), f"attempt {attempt}"
