"""Killed at any moment, the same command goes on: the same result, and finished stages are never repeated."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy_pipeline

import genrec
from genrec.engine.config import compose
from genrec.engine.fingerprints import sha256_file
from genrec.engine.pipeline import execute
from genrec.engine.runs import Run

DEMO = [
    "experiment=demo",
    "data.num_users=200",
    "data.num_items=250",
    "train.epochs=3",
    "generator.dim=32",
    "threads=1",
]
PATH_METHODS = ("write_text", "mkdir", "unlink", "symlink_to", "stat")
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
        monkeypatch.setattr(os, "fsync", lambda handle: None)  # a killed process loses no page cache; power failures aside
        yield toy_pipeline.install(monkeypatch, tmp_path)


class Moments:
    """Counts what touches the disk and, at one of those moments, kills the process: every state a kill can leave behind."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count, self.deadly = 0, -1
        for owner, names in ((os, ("open", "replace", "rename", "fsync")), (shutil, ("rmtree",)), (Path, PATH_METHODS)):
            for name in names:
                patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, original: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            if self.count == self.deadly:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1
            return original(*args, **more)

        return call


def test_a_kill_at_any_moment_of_a_toy_run(toy: toy_pipeline.Built, tmp_path: Path) -> None:
    def config(name: str) -> Any:
        return replace(settings, tree={**settings.tree, "paths": {"runs": str(tmp_path / name)}})

    def run_to_the_end(name: str) -> Run:
        return execute(config(name), until="train", log=lambda line: None)

    settings = compose()
    run_to_the_end("warm")  # what a process looks up once (its own commit, say) its children need not
    with pytest.MonkeyPatch.context() as patch:
        moments = Moments(patch)
        straight = run_to_the_end("straight")
        total = moments.count
    assert total > 60
    expected = contents(straight)
    stopped_with = set()
    for deadly in range(0, total, 7):
        run = Run(tmp_path / f"killed{deadly}" / "default")
        child = os.fork()
        if child == 0:
            with pytest.MonkeyPatch.context() as patch:
                Moments(patch).deadly = deadly
                run_to_the_end(f"killed{deadly}")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        before = finished(run)
        stopped_with.add(len(before))
        run_to_the_end(f"killed{deadly}")
        assert contents(run) == expected
        assert finished(run).items() >= before.items()
        assert not list((tmp_path / f"killed{deadly}" / ".store").glob("*/*.tmp"))
        assert not list((tmp_path / f"killed{deadly}" / ".store").glob("*/*.work"))
    assert stopped_with >= {0, 1, 2, 3}  # kinds that were finished when it was killed


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
