"""SIGKILL at random moments: what was acknowledged is there, finished stages stay, the rest comes out the same."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy_pipeline
from ledger import Ledger
from test_resume import Moments, contents, finished

from genrec.engine.config import compose
from genrec.engine.pipeline import execute
from genrec.engine.runs import Run
from genrec.recommender.journal import Journal

ADDED, REMOVED = "added", "removed"


def forked(work: Callable[[Callable[[str], None]], None], *, words: int, seconds: float) -> list[str]:
    """What a child had told before it was killed, so many seconds after so many words."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work(lambda line: (os.write(writing, f"{line}\n".encode()), None)[1])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        lines = [told.readline() for _ in range(words)]
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return [line.rstrip("\n") for line in (*lines, *told) if line.endswith("\n")]


def test_a_journal_killed_while_it_writes(tmp_path: Path, ledger: Ledger) -> None:
    """Forty kills of one journal after another; it never loses what it had said before any of them."""

    def write(tell: Callable[[str], None]) -> None:
        journal, moves = Journal(tmp_path), random.Random(attempt)
        tell("open")
        for _ in range(100_000):
            item = f"i{moves.randrange(200)}"
            if moves.random() < 0.5:
                writing = journal.writing()
                writing.add([{"item_id": item, "title": "t" * moves.randrange(3000)}, {"item_id": f"{item}+"}])
                writing.mark([item], removed=False)
                journal.write(writing)
                tell(f"{ADDED} {item}")
            else:
                journal.mark([item], removed=True)
                tell(f"{REMOVED} {item}")

    moments, state = random.Random(7), dict[str, str]()
    for attempt in range(40):
        told = forked(write, words=moments.randrange(1, 12), seconds=moments.uniform(0, 0.003))
        ledger.inject("journal killed")
        for line in told[1:]:
            what, _, item = line.partition(" ")
            state[item] = what
        journal = Journal(tmp_path)
        there, gone = {row["item_id"] for row in journal.added()}, set(journal.removed())
        journal.close()
        wrong = {item for item, what in state.items() if (item in gone) != (what == REMOVED)}
        ledger.kept(f"kill {attempt}: {wrong}", len(wrong) <= 1)  # the one that was written and not yet told may differ
        ledger.kept(f"kill {attempt}", there >= {item for item, what in state.items() if what == ADDED} - wrong)
        state |= {item: REMOVED if item in gone else ADDED for item in wrong}
    assert len(state) > 20, "it has written"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[toy_pipeline.Built]:
    with toy_pipeline.importable(tmp_path):
        monkeypatch.setattr(os, "fsync", lambda handle: None)
        yield toy_pipeline.install(monkeypatch, tmp_path)


def test_a_run_killed_again_and_again(toy: toy_pipeline.Built, tmp_path: Path, ledger: Ledger) -> None:
    """Unlike in test_resume, several kills hit one run before it may finish."""

    def config(name: str) -> Any:
        return replace(settings, tree={**settings.tree, "paths": {"runs": str(tmp_path / name)}})

    def run_to_the_end(name: str) -> Run:
        return execute(config(name), until="train", log=lambda line: None)

    settings = compose()
    with pytest.MonkeyPatch.context() as patch:
        counted = Moments(patch)
        expected = contents(run_to_the_end("straight"))
    moments = random.Random(3)
    for attempt in range(8):
        run = Run(tmp_path / f"killed{attempt}" / "default")
        before: dict[str, Any] = {}
        for _ in range(5):
            deadly = moments.randrange(counted.count)
            child = os.fork()
            if child == 0:
                with pytest.MonkeyPatch.context() as patch:
                    Moments(patch).deadly = deadly
                    run_to_the_end(f"killed{attempt}")
                os._exit(0)
            killed = os.waitpid(child, 0)[1] == signal.SIGKILL
            ledger.inject("run killed", killed)
            ledger.kept(f"finished stages of {attempt}", finished(run).items() >= before.items())
            before = finished(run)
        run_to_the_end(f"killed{attempt}")
        ledger.kept(f"run {attempt}", contents(run) == expected and finished(run).items() >= before.items())
