"""One thread runs the model for requests that come at about the same time."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

from genrec.core.deadlines import AbandonedError, while_wanted


class FullError(Exception):
    """The queue has no room; ``args[0]`` is how many entries wait."""


class ClosedError(Exception):
    """Nothing is accepted any more."""


class TooMuchError(Exception):
    """The work for one request took longer than it may."""


class Promise(Future[list[Any]]):
    """The answers of one request, which come later."""

    is_given_up = False

    def give_up(self) -> None:
        """Withdraws the request: it is not begun, or ends at its next step if nobody else waits for the same."""
        self.is_given_up = True
        self.cancel()


@dataclass(eq=False)
class _Job:
    group: Hashable
    entries: Sequence[Any]
    size: int
    answer: Promise = field(default_factory=Promise)
    arrived: float = field(default_factory=time.monotonic)


class Batcher:
    """Gathers entries of several requests and answers those of one group at once.

    The first request of a batch waits at most ``max_wait`` for others; a full batch does not wait, nor does what arrived while
    the model was busy. What was accepted is answered, also while closing; what its asker has given up, or what took longer than
    ``timeout`` since it came, is not begun, and ends between two steps where it has begun (see ``genrec.core.deadlines``).

    Args:
        run: (group, entries) -> an answer for each entry, in order.
        max_wait: seconds.
        batch: entries at once; a request with more is a batch of its own.
        queue: entries that may wait.
        timeout: seconds after which nobody waits for an answer.
        work: seconds of its core that the thread may work for one request.
        on_batch: called with the number of entries of each run and its seconds.
    """

    def __init__(
        self,
        run: Callable[[Any, list[Any]], list[Any]],
        *,
        max_wait: float,
        batch: int,
        queue: int,
        timeout: float = math.inf,
        work: float = math.inf,
        on_batch: Callable[[int, float], None] = lambda entries, seconds: None,
    ) -> None:
        self._run, self._max_wait, self._batch, self._queue, self._on_batch = run, max_wait, batch, queue, on_batch
        self._timeout, self._most_work = timeout, work
        self._jobs: deque[_Job] = deque()
        self._waiting, self._closed, self._changed = 0, False, Condition()
        self._thread = Thread(target=self._work, name="genrec-model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The number of entries in the queue."""
        return self._waiting

    @property
    def alive(self) -> bool:
        """Whether what is accepted will be answered."""
        return self._thread.is_alive() and not self._closed

    def submit(self, group: Hashable, entries: Sequence[Any], *, weight: int = 1) -> Promise:
        """Queues a request.

        Args:
            group: equal for requests that can be answered at once.
            entries: at least one.
            weight: what each of them counts in a batch and in the queue.

        Raises:
            FullError: when the queue has no room for them.
            ClosedError: after ``close``.
        """
        job = _Job(group, entries, weight * len(entries))
        with self._changed:
            if self._closed:
                raise ClosedError
            if self._waiting and self._waiting + job.size > self._queue:
                raise FullError(self._waiting)
            self._jobs.append(job)
            self._waiting += job.size
            self._changed.notify()
        return job.answer

    def close(self) -> None:
        """Accepts nothing more, and returns when all that was accepted is answered."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while jobs := self._next_batch():
            groups: dict[Hashable, list[_Job]] = {}
            for job in jobs:
                if job.answer.set_running_or_notify_cancel() and self._is_awaited(job):
                    groups.setdefault(job.group, []).append(job)
            for group, alike in groups.items():
                self._answer(group, alike)

    def _is_awaited(self, job: _Job) -> bool:
        """Returns whether anybody waits for a job. A job that nobody waits for gets an error that nobody reads."""
        is_awaited = not job.answer.is_given_up and time.monotonic() < job.arrived + self._timeout
        if not is_awaited and not job.answer.done():
            job.answer.set_exception(AbandonedError())
        return is_awaited

    def _next_batch(self) -> list[_Job]:
        """Returns the next batch, oldest first; empty when closed and done."""
        with self._changed:
            while not self._jobs:
                if self._closed:
                    return []
                self._changed.wait()
            deadline = self._jobs[0].arrived + self._max_wait
            while self._waiting < self._batch and not self._closed and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            jobs, size = [self._jobs.popleft()], 0
            size = jobs[0].size
            while self._jobs and size + self._jobs[0].size <= self._batch:
                jobs.append(self._jobs.popleft())
                size += jobs[-1].size
            self._waiting -= size
            return jobs

    def _answer(self, group: Hashable, jobs: list[_Job]) -> None:
        start, begun = time.perf_counter(), time.thread_time()
        entries = [entry for job in jobs for entry in job.entries]

        def is_awaited() -> bool:
            return any(self._is_awaited(job) for job in jobs) and time.thread_time() - begun < self._most_work

        try:
            with while_wanted(is_awaited):
                answers = self._run(group, entries)
        except Exception as error:  # of one group; the thread goes on for the others
            self._fail(group, [job for job in jobs if self._is_awaited(job)], error, is_alone=len(jobs) == 1)
            return
        self._on_batch(len(entries), time.perf_counter() - start)
        offset = 0
        for job in jobs:
            if not job.answer.done():
                job.answer.set_result(answers[offset : offset + len(job.entries)])
            offset += len(job.entries)

    def _fail(self, group: Hashable, jobs: list[_Job], error: Exception, *, is_alone: bool) -> None:
        """Answers each of several requests by itself, since only one of them may have failed."""
        for job in jobs:
            if not is_alone:
                self._answer(group, [job])
            elif not job.answer.done():
                job.answer.set_exception(TooMuchError() if isinstance(error, AbandonedError) else error)
