"""The thread that runs the model: what it puts together, what it turns away, and that it answers all it accepted."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import Any

import pytest

from genrec.core.deadlines import AbandonedError, stop_if_abandoned
from genrec.serving.batching import Batcher, ClosedError, FullError, TooMuchError


class Model:
    """Doubles numbers, says what it was asked at once, and waits where it is told to."""

    def __init__(self) -> None:
        self.runs: list[tuple[Any, list[int]]] = []
        self.open, self.entered = threading.Event(), threading.Event()
        self.open.set()

    def __call__(self, group: Any, entries: list[int]) -> list[int]:
        self.runs.append((group, entries))
        self.entered.set()
        assert self.open.wait(10)
        if group == "wrong":
            raise ValueError(group)
        return [2 * entry for entry in entries]


def batcher_of(model: Model, **settings: Any) -> Batcher:
    return Batcher(model, **({"max_wait": 0.2, "batch": 8, "queue": 20} | settings))


def busy(model: Model, batcher: Batcher) -> Future[list[Any]]:
    """Holds the model at a first request."""
    model.open.clear()
    model.entered.clear()
    first = batcher.submit("first", [0])
    assert model.entered.wait(10)
    return first


def test_equal_groups_are_answered_at_once() -> None:
    model = Model()
    batcher = batcher_of(model)
    first = busy(model, batcher)
    answers = [batcher.submit(group, entries) for group, entries in (("a", [1, 2]), ("b", [3]), ("a", [4]), ("a", [5] * 5))]
    model.open.set()
    assert [answer.result(10) for answer in (first, *answers)] == [[0], [2, 4], [6], [8], [10] * 5]
    assert model.runs[1:] == [("a", [1, 2, 4]), ("b", [3]), ("a", [5] * 5)], "eight at most, the ninth waits"
    batcher.close()


def test_the_first_waits_for_others_but_not_for_ever() -> None:
    model = Model()
    batcher = batcher_of(model)
    answers = [batcher.submit("a", [number]) for number in range(3)]
    start = time.monotonic()
    assert [answer.result(10) for answer in answers] == [[0], [2], [4]]
    assert time.monotonic() - start > 0.1
    assert model.runs == [("a", [0, 1, 2])]
    assert batcher.submit("a", [7] * 20).result(10) == [14] * 20
    batcher.close()


def test_a_full_queue_turns_away_and_what_was_given_up_is_not_worked_on() -> None:
    model = Model()
    batcher = batcher_of(model, queue=3)
    busy(model, batcher)
    given_up, kept = batcher.submit("a", [1]), batcher.submit("a", [2, 3])
    with pytest.raises(FullError, match="3"):
        batcher.submit("a", [4])
    assert batcher.waiting == 3
    assert given_up.cancel()
    model.open.set()
    assert kept.result(10) == [4, 6]
    assert model.runs[1:] == [("a", [2, 3])]
    assert batcher.submit("a", [4]).result(10) == [8]
    batcher.close()


def test_closing_answers_what_was_accepted() -> None:
    model = Model()
    batcher = batcher_of(model, max_wait=100.0)
    busy_answer = batcher.submit("a", [1])
    time.sleep(0.05)
    assert not busy_answer.done(), "it waits for others"
    batcher.close()
    assert busy_answer.result(0) == [2]
    assert not batcher.alive
    with pytest.raises(ClosedError):
        batcher.submit("a", [2])


def test_an_error_is_of_its_group_alone() -> None:
    model = Model()
    batcher = batcher_of(model)
    wrong, right = batcher.submit("wrong", [1]), batcher.submit("a", [2])
    with pytest.raises(ValueError, match="wrong"):
        wrong.result(10)
    assert right.result(10) == [4]
    batcher.close()


class Long:
    """Work of many steps; says how many it took."""

    def __init__(self) -> None:
        self.steps, self.entered = 0, threading.Event()

    def __call__(self, group: Any, entries: list[int]) -> list[int]:
        for _ in range(2000):
            self.entered.set()
            self.steps += 1
            stop_if_abandoned()
            time.sleep(0.005)
        return entries


@pytest.mark.parametrize("how", ["given up", "too late", "one of two waits"])
def test_work_that_nobody_waits_for_frees_the_thread(how: str) -> None:
    work = Long()
    batcher = Batcher(work, max_wait=0.05, batch=8, queue=20, timeout=0.2 if how == "too late" else 60.0)
    promises = [batcher.submit("a", [1]), batcher.submit("a", [2])]
    assert work.entered.wait(10)
    if how != "too late":
        promises[0].give_up()
    if how == "one of two waits":
        time.sleep(0.1)
        assert not promises[1].done(), "it goes on for the other"
    if how != "too late":
        promises[1].give_up()
    start = time.monotonic()
    batcher.close()
    assert time.monotonic() - start < 3
    assert work.steps < 1000
    with pytest.raises(AbandonedError):
        promises[0].result(0)


def test_too_much_work_for_one_request_is_given_up() -> None:
    """By the thread's own time: waiting does not count."""

    def run(group: str, entries: list[int]) -> list[int]:
        while group == "much":
            stop_if_abandoned()
        time.sleep(0.3)
        return entries

    batcher = Batcher(run, max_wait=0.01, batch=8, queue=20, work=0.1)
    with pytest.raises(TooMuchError):
        batcher.submit("much", [1]).result(10)
    assert batcher.submit("little", [2]).result(10) == [2]
    batcher.close()


def test_an_error_for_several_is_of_whoever_made_it() -> None:
    """What is answered together does not share its mistakes, nor what is too much for one."""

    def run(group: str, entries: list[int]) -> list[int]:
        if 13 in entries:
            raise ValueError(entries)
        begun = time.thread_time()
        while time.thread_time() - begun < 0.06 * len(entries):
            stop_if_abandoned()
        return entries

    batcher = Batcher(run, max_wait=0.3, batch=8, queue=20, work=0.15)
    promises = [batcher.submit("a", [number]) for number in (1, 13, 2, 3)]
    assert [promises[place].result(10) for place in (0, 2, 3)] == [[1], [2], [3]]
    with pytest.raises(ValueError, match=r"\[13\]"):
        promises[1].result(10)
    batcher.close()


def test_heavy_entries_count_for_more() -> None:
    model = Model()
    batcher = batcher_of(model, queue=12)
    first = busy(model, batcher)
    answers = [batcher.submit("a", [number], weight=4) for number in range(3)]
    with pytest.raises(FullError, match="12"):
        batcher.submit("a", [4])
    model.open.set()
    assert [answer.result(10) for answer in (first, *answers)] == [[0], [0], [2], [4]]
    assert model.runs[1:] == [("a", [0, 1]), ("a", [2])], "eight at most"
    batcher.close()
