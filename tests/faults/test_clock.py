"""The wall clock jumps by years, forwards and back, at every look at it: nothing may hang on it."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import toy_pipeline
from ledger import Ledger
from small_shop import shop
from test_resume import contents

from genrec.engine import artifacts, runs
from genrec.engine.config import compose
from genrec.engine.fingerprints import ContentHashes
from genrec.engine.pipeline import execute
from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.recommender.requests import RecommendRequest
from genrec.serving.limits import Limits
from genrec.serving.service import Service

YEAR = 365.25 * 24 * 3600


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    moves, now = random.Random(5), time.time

    def jumped() -> float:
        ledger.inject("clock: jump of the wall clock")
        return now() + moves.uniform(-20, 20) * YEAR

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.fromtimestamp(0, UTC) + timedelta(seconds=jumped())

    monkeypatch.setattr(time, "time", jumped)
    for module in (artifacts, runs):
        monkeypatch.setattr(module, "datetime", Jumping)


def test_runs_are_the_same(jumping: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    with toy_pipeline.importable(tmp_path):
        monkeypatch.setattr(os, "fsync", lambda handle: None)
        built = toy_pipeline.install(monkeypatch, tmp_path)
        made = contents(execute(compose([f"paths.runs={tmp_path}/a"]), until="train", log=lambda line: None))
        number = len(built)
        for _ in range(3):
            again = execute(compose([f"paths.runs={tmp_path}/a"]), until="train", log=lambda line: None)
            ledger.kept("a finished run", contents(again) == made)
        assert len(built) == number, "nothing is made again because of a date"


def test_files_with_dates_of_another_time(tmp_path: Path, ledger: Ledger) -> None:
    """A file that changes and keeps its size and its time of modification, as a clock set back can leave it."""
    file, hashes = tmp_path / "data.csv", ContentHashes(tmp_path / "hashes.json")
    file.write_text("a,b\n1,1\n", encoding="utf-8")
    for number, years in enumerate(itertools.chain(range(-20, 20, 4), range(20, -20, -4))):
        before = hashes.of(file)
        stamp = int((time.time() + years * YEAR) * 1e9)
        os.utime(file, ns=(stamp, stamp))
        ledger.kept("the same content", hashes.of(file) == before)
        file.write_text(f"a,b\n1,{(number + 2) % 10}\n", encoding="utf-8")
        os.utime(file, ns=(stamp, stamp))
        ledger.inject("clock: a changed file with its old date")
        ledger.kept(f"change {number}", hashes.of(file) != before)


def test_a_service_answers_in_time(jumping: None, tmp_path: Path, ledger: Ledger) -> None:
    """Batches gather, answers come, changes are kept: waiting is measured by a clock that nobody sets."""
    live = PersistentRecommender(shop(30), Journal(tmp_path))
    service = Service(live, Limits(max_wait=0.01))
    for number in range(20):
        start, done = time.monotonic(), threading.Event()
        answer: Future[list[dict[str, object]]] = service.submit(RecommendRequest(histories=[[f"i{number}"]], k=3))
        answer.add_done_callback(lambda _, done=done: done.set())
        time.time()
        assert done.wait(20)
        assert time.monotonic() - start < 20
        assert len(answer.result()[0]["items"]) == 3
        live.remove_items([f"i{number}"])
    service.close()
    again = PersistentRecommender(shop(30), Journal(tmp_path))
    ledger.kept("removals", again.removed == [f"i{number}" for number in range(20)])
    again.close()
