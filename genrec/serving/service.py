"""A persistent recommender behind a bounded queue: which requests are answered together, their answers, and its metrics."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

from genrec.core.deadlines import AbandonedError
from genrec.engine.logs import LOGGER
from genrec.engine.machine import is_out_of_memory
from genrec.recommender.catalogue import HISTORY, Catalogue, memory_of, process_memory
from genrec.recommender.explanation import beams, explain
from genrec.recommender.item_search import similar_items
from genrec.recommender.persistent import PersistentRecommender
from genrec.recommender.requests import EACH, AnyRequest, BeamRequest, ExplainRequest, RecommendRequest, SimilarRequest
from genrec.serving.batching import Batcher, ClosedError, FullError, Promise, TooMuchError
from genrec.serving.http_errors import RefusedError
from genrec.serving.limits import Limits
from genrec.serving.prometheus import ServiceMetrics, seconds_since
from genrec.types import ITEM_ID, RANK, SCORE

Answer = dict[str, Any]  # as it is sent


def batch_group(request: AnyRequest) -> Hashable:
    """Returns a key, equal for requests that can be answered together. They differ in histories and what belongs to each."""
    alike = (value for name, value in request.settings.items() if name not in EACH or not isinstance(request, RecommendRequest))
    values = (tuple(value.items()) if isinstance(value, Mapping) else value for value in alike)
    return type(request), getattr(request, "times", None) is None, *values


def split_request(request: AnyRequest) -> Sequence[AnyRequest]:
    """Returns one request for each history: the unit that waits and is counted."""
    if not isinstance(request, RecommendRequest):
        return [request]
    histories: Any = request.histories
    times = repeat(None) if request.times is None else ([history_times] for history_times in request.times)
    each: dict[str, Any] = {name: getattr(request, name) for name in EACH}
    values = zip(*([*one] if isinstance(one, list) else repeat(one) for one in each.values()), strict=False)
    return [
        replace(request, histories=[history], times=history_times, **dict(zip(each, of_history, strict=True)))
        for history, history_times, of_history in zip(histories, times, values, strict=False)
    ]


def answers(catalogue: Catalogue, requests: Sequence[Any], limits: Limits) -> list[Answer]:
    """Returns an answer for each of several single requests of one group, all from one catalogue.

    Raises:
        GenRecError: when they cannot be met.
    """
    answer: Callable[[Catalogue, Sequence[Any], Limits], list[Answer]] = _ANSWERS[type(requests[0])]
    return answer(catalogue, requests, limits)


def _lists(catalogue: Catalogue, requests: Sequence[RecommendRequest], limits: Limits) -> list[Answer]:
    """Decodes all histories at once."""
    first = requests[0]
    histories: list[Any] = [one for request in requests for one in request.histories]
    times = None if first.times is None else [one for request in requests for one in request.times or ()]
    each: dict[str, Any] = {name: [getattr(request, name) for request in requests] for name in EACH}
    together = replace(first, histories=histories, times=times, batch_size=len(histories), **each)
    table, read = catalogue.recommend(together, searches=limits.searches_for(first.k) if first.quota else None)
    lists: list[list[Answer]] = [[] for _ in histories]
    for number, item_id, score in table.select(HISTORY, ITEM_ID, SCORE).iter_rows():
        lists[number].append({ITEM_ID: item_id, SCORE: score})
    return [{"items": items, "unknown": unknown} for items, unknown in zip(lists, read.unknown, strict=True)]


def _similar_items(catalogue: Catalogue, requests: Sequence[SimilarRequest], limits: Limits) -> list[Answer]:
    return [{"items": similar_items(catalogue, requests[0]).drop(RANK).to_dicts()}] * len(requests)


def _explanations(catalogue: Catalogue, requests: Sequence[ExplainRequest], limits: Limits) -> list[Answer]:
    return [_explanation(catalogue, request) for request in requests]


def _explanation(catalogue: Catalogue, request: ExplainRequest) -> Answer:
    why, read = explain(catalogue, request)
    path = None if why.path is None else why.path.to_dicts()
    because = why.because.to_dicts()
    return {ITEM_ID: why.item_id, "log_prob": why.log_prob, "path": path, "because": because, "unknown": read.unknown[0]}


def _beams(catalogue: Catalogue, requests: Sequence[BeamRequest], limits: Limits) -> list[Answer]:
    results = [beams(catalogue, request) for request in requests]
    levels = [
        [level.drop("level").to_dicts() for level in table.partition_by("level", maintain_order=True)] for table, _ in results
    ]
    return [{"levels": one, "unknown": read.unknown[0]} for one, (_, read) in zip(levels, results, strict=True)]


_ANSWERS: dict[type, Callable[..., list[Answer]]] = {
    RecommendRequest: _lists,
    SimilarRequest: _similar_items,
    ExplainRequest: _explanations,
    BeamRequest: _beams,
}


_SMOOTHING = 0.1  # weight of the newest batch in the mean time of an entry


class Service:
    """Answers requests, many at once.

    Args:
        recommender: answers and changes.
        limits: of requests and of the queue.
    """

    def __init__(self, recommender: PersistentRecommender, limits: Limits) -> None:
        self.recommender, self.limits = recommender, limits
        self._entry_seconds = 0.0
        self.batcher = Batcher(
            self._answers,
            max_wait=limits.max_wait,
            batch=limits.batch,
            queue=limits.queue,
            timeout=limits.timeout,
            work=limits.work,
            on_batch=self._measure,
        )
        self.metrics = ServiceMetrics(
            {
                "genrec_queue_length": ("Histories that wait.", lambda: self.batcher.waiting),
                "genrec_items": ("Items of the catalogue.", lambda: len(recommender.catalogue.table)),
                "genrec_items_removed": ("Items that are not recommended.", lambda: len(recommender.catalogue.removed)),
                "genrec_items_new": ("Items that came after training.", lambda: recommender.catalogue.num_new),
                "genrec_bundle_age_seconds": (
                    "Since the bundle was made.",
                    lambda: seconds_since(recommender.catalogue.source["created"]),
                ),
                "genrec_memory_bytes": ("Memory of the recommender.", lambda: memory_of(recommender.catalogue)),
                "process_resident_memory_bytes": ("Memory of the process.", process_memory),
            },
            lambda: {key: str(recommender.catalogue.source[key]) for key in ("fingerprint", "genrec")},
        )

    def facts(self) -> dict[str, Any]:
        """Returns the bundle that is answered from, its age in seconds, and the number of reloads."""
        catalogue, reloads = self.recommender.catalogue, self.metrics.reloads
        return {
            "bundle": catalogue.source["fingerprint"],
            "bundle_age_seconds": round(seconds_since(catalogue.source["created"])),
            "num_items": len(catalogue.table),
            "num_removed": len(catalogue.removed),
            "reloads": reloads["done"],
            "failed_reloads": reloads["failed"],
        }

    def reload(self, bundle: Path, plugins: Sequence[str], external: Mapping[str, str | Path] | None = None) -> None:
        """Answers from the bundle that is at a path now.

        Raises:
            GenRecError: when it cannot be opened; the old one stays.
        """
        try:
            self.recommender.swap(bundle, plugins=plugins, external=external)
        except BaseException:
            self.metrics.count_reload(done=False)
            raise
        self.metrics.count_reload(done=True)

    def submit(self, request: AnyRequest, *, weight: int = 1) -> Promise:
        """Queues a request; see ``ask``.

        Raises:
            FullError, ClosedError: see ``Batcher.submit``.
        """
        return self.batcher.submit(batch_group(request), split_request(request), weight=weight)

    async def ask(self, request: AnyRequest, *, weight: int = 1) -> list[Answer]:
        """Returns an answer for each history of a request, or one for a request about none.

        Args:
            request: what is asked.
            weight: of each answer, where it costs as much as several.

        Raises:
            RefusedError: when the queue is full, the time is over, or the service is stopping.
            GenRecError: when the request cannot be met.
        """
        try:
            answer = self.submit(request, weight=weight)
        except FullError as error:
            seconds = max(1, math.ceil(error.args[0] * self._entry_seconds))
            expected, got, fix = f"at most {self.limits.queue} waiting", f"{error.args[0]} already", f"retry in {seconds} s"
            headers = {"Retry-After": str(seconds)}
            raise RefusedError(429, "queue", expected=expected, got=got, fix=fix, headers=headers) from None
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
            fix, headers = "ask for less at once, or later", {"Retry-After": "1"}
            raise RefusedError(503, "server", expected="memory for it", got="too little", fix=fix, headers=headers) from error
        finally:
            answer.give_up()  # no more than a word where it is there; else whoever asked has gone, or waited too long

    def close(self) -> None:
        """Answers all that was accepted, then releases the journal."""
        self.batcher.close()
        self.recommender.close()

    def _answers(self, group: Hashable, requests: list[Any]) -> list[Answer]:
        answered = answers(self.recommender.catalogue, requests, self.limits)
        if isinstance(requests[0], RecommendRequest):
            self._count(requests, answered)
        return answered

    def _count(self, requests: list[RecommendRequest], answers: list[Answer]) -> None:
        catalogue = self.recommender.catalogue
        trained = len(catalogue.table) if catalogue.num_trained is None else catalogue.num_trained
        list_length = min(requests[0].k, len(catalogue.table))
        num_items = sum(len(history) for request in requests for history in request.histories)
        num_unknown = sum(len(answer["unknown"]) for answer in answers)
        new = [sum(catalogue.table.idx.get(item[ITEM_ID], 0) >= trained for item in answer["items"]) for answer in answers]
        places = sum(len(answer["items"]) for answer in answers)
        self.metrics.count_lists(
            num_known=num_items - num_unknown,
            num_unknown=num_unknown,
            lists=len(answers),
            short=sum(len(answer["items"]) < list_length for answer in answers),
            with_new=sum(number > 0 for number in new),
            trained=places - sum(new),
            new=sum(new),
        )

    def _measure(self, entries: int, seconds: float) -> None:
        self.metrics.count_batch(entries=entries, seconds=seconds)
        mean = seconds / entries
        self._entry_seconds += (mean - self._entry_seconds) * (_SMOOTHING if self._entry_seconds else 1.0)
