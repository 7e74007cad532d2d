"""A live recommender behind a bounded queue, and what is measured of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from genrec.deadlines import AbandonedError
from genrec.machine import is_out_of_memory
from genrec.serving.batching import Batcher, ClosedError, FullError, TooMuchError
from genrec.serving.limits import Limits
from genrec.serving.live import Live
from genrec.serving.logs import LOGGER
from genrec.serving.measures import SECONDS, SIZES, Counter, Gauge, Histogram
from genrec.serving.memory import memory_of, resident
from genrec.serving.problems import RefusedError
from genrec.serving.wishes import Answer, Wish

_SMOOTHING = 0.1  # weight of the newest batch in the mean time of an entry


class Service:
    """Answers wishes, many at once.

    Args:
        live: answers and changes.
        limits: of requests and of the queue.
    """

    def __init__(self, live: Live, limits: Limits) -> None:
        self.live, self.limits = live, limits
        self.requests = Counter("genrec_requests_total", "Requests answered.")
        self.seconds = Histogram("genrec_request_seconds", "Time from a request to its answer.", SECONDS)
        self._batch_size = Histogram("genrec_batch_size", "Histories decoded at once.", SIZES)
        self._batch_seconds = Histogram("genrec_batch_seconds", "Time of a run of the model.", SECONDS)
        self._entry_seconds = 0.0
        self.batcher = Batcher(
            lambda wish, entries: wish.answer(self.live, entries),
            max_wait=limits.max_wait,
            batch=limits.batch,
            queue=limits.queue,
            timeout=limits.timeout,
            work=limits.work,
            on_batch=self._measure,
        )
        self.measures = (
            self.requests,
            self.seconds,
            self._batch_size,
            self._batch_seconds,
            Gauge("genrec_queue_length", "Histories that wait.", lambda: self.batcher.waiting),
            Gauge("genrec_items", "Items of the catalogue.", lambda: len(self.live.catalogue.table)),
            Gauge("genrec_items_removed", "Items that are not recommended.", lambda: len(self.live.catalogue.removed)),
            Gauge("genrec_memory_bytes", "Memory of the recommender.", lambda: memory_of(self.live.catalogue)),
            Gauge("process_resident_memory_bytes", "Memory of the process.", resident),
        )

    async def ask(self, wish: Wish, entries: Sequence[Any], *, weight: int = 1) -> list[Answer]:
        """An answer for each entry.

        Args:
            wish: what for.
            entries: histories, or whatever the wish is about.
            weight: of each entry, where it costs as much as several.

        Raises:
            RefusedError: when the queue is full, the time is over, or the service is stopping.
            GenRecError: when the wish cannot be met.
        """
        try:
            answer = self.batcher.submit(wish, entries, weight=weight)
        except FullError as error:
            seconds = max(1, math.ceil(error.args[0] * self._entry_seconds))
            expected, got, fix = f"at most {self.limits.queue} waiting", f"{error.args[0]} already", f"retry in {seconds} s"
            told = {"Retry-After": str(seconds)}
            raise RefusedError(429, "queue", expected=expected, got=got, fix=fix, headers=told) from None
        except ClosedError:
            fix = "ask another instance"
            raise RefusedError(503, "server", expected="one that is running", got="stopping", fix=fix) from None
        try:
            return await asyncio.wait_for(asyncio.wrap_future(answer), self.limits.timeout)
        except TooMuchError:
            expected, fix = f"what takes the model at most {self.limits.work:g} s", "ask for fewer histories or items at once"
            raise RefusedError(422, "request", expected=expected, got="more", fix=fix) from None
        except (TimeoutError, AbandonedError):
            expected, fix = f"an answer within {self.limits.timeout:g} s", "ask for less, or later"
            raise RefusedError(503, "server", expected=expected, got="none", fix=fix, headers={"Retry-After": "1"}) from None
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            LOGGER.error("out of memory", extra={"fields": {"error": str(error)}})
            fix, told = "ask for less at once, or later", {"Retry-After": "1"}
            raise RefusedError(503, "server", expected="memory for it", got="too little", fix=fix, headers=told) from error
        finally:
            answer.give_up()  # no more than a word where it is there; else whoever asked has gone, or waited too long

    def close(self) -> None:
        """Answers all that was accepted, then lets go of the journal."""
        self.batcher.close()
        self.live.close()

    def _measure(self, entries: int, seconds: float) -> None:
        self._batch_size.observe(entries)
        self._batch_seconds.observe(seconds)
        mean = seconds / entries
        self._entry_seconds += (mean - self._entry_seconds) * (_SMOOTHING if self._entry_seconds else 1.0)
