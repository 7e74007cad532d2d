"""Two processes want the same: one waits and says so, or is refused; never a mixture of both."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import toy_pipeline
from ledger import Ledger

from genrec.engine.artifacts import Artifact
from genrec.engine.config import Config, compose
from genrec.engine.pipeline import execute
from genrec.engine.runs import Run
from genrec.recommender.journal import Journal


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[toy_pipeline.Built]:
    with toy_pipeline.importable(tmp_path):
        monkeypatch.setattr(os, "fsync", lambda handle: None)
        yield toy_pipeline.install(monkeypatch, tmp_path)


def forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def test_two_runs_into_one_folder(toy: toy_pipeline.Built, tmp_path: Path, ledger: Ledger) -> None:
    """With other settings: the folder is the one's or the other's, as if they had come one after the other."""

    def config(number: int) -> Config:
        return replace(settings, tree={**settings.tree, "tokenizer": {**settings.tree["tokenizer"], "num_levels": number}})

    settings = compose()
    for attempt in range(12):
        numbers = (10 + attempt, 100 + attempt)
        children = [forked(partial(execute, config(number), until="train", log=lambda line: None)) for number in numbers]
        ledger.inject("two runs into one folder", len(children) - 1)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        last = Run(tmp_path / "runs" / "default")
        levels = last.config["tokenizer"]["num_levels"]
        ledger.kept(attempt, levels in numbers)
        for kind in last.kinds:  # each made from the others, all from the settings on record
            ledger.told(f"{attempt}: {kind}", partial(last.artifact, kind))
        made = Artifact(last.path / "tokenizer").config["tokenizer"]["num_levels"]
        ledger.kept(f"{attempt}: settings", made == levels and last.kinds == ("dataset", "encoder", "tokenizer", "generator"))


def test_the_second_says_whom_it_waits_for(toy: toy_pipeline.Built, tmp_path: Path, ledger: Ledger) -> None:
    folder = Run(tmp_path / "runs" / "default")

    def hold() -> None:
        with folder.lock():
            (tmp_path / "held").touch()
            while not (tmp_path / "seen").exists():
                time.sleep(0.01)

    def log(line: str) -> None:
        said.append(line)
        if line.startswith("waiting"):
            (tmp_path / "seen").touch()

    child, said = forked(hold), list[str]()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    execute(compose(), until="train", log=log)
    ledger.inject("two runs into one folder")
    os.waitpid(child, 0)
    assert any(f"waiting: process {child} is working on {folder.path}" in line for line in said)


def test_a_killed_process_holds_nothing(tmp_path: Path, ledger: Ledger) -> None:
    """Neither a run nor a state_dir."""
    run, state = Run(tmp_path / "runs" / "default"), tmp_path / "state"

    def hold() -> None:
        journal = Journal(state)
        journal.add([{"item_id": "a"}])
        with run.lock():
            (tmp_path / "held").touch()
            time.sleep(60)

    for _ in range(5):
        child = forked(hold)
        while not (tmp_path / "held").exists():
            time.sleep(0.01)
        ledger.refused("two processes on one state_dir", state, lambda: Journal(state), f"process {child} is using")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        (tmp_path / "held").unlink()
        with run.lock():
            journal = Journal(state)
            ledger.kept("a", [row["item_id"] for row in journal.added()] == ["a"])
            journal.close()
