"""Requests of the service: which of them are answered together, and the answers as they are sent."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any

from genrec.recommender.beam_trace import beams
from genrec.recommender.catalogue import HISTORY, Catalogue
from genrec.recommender.explanation import explain
from genrec.recommender.item_search import similar_items
from genrec.recommender.requests import AnyRequest, BeamRequest, ExplainRequest, RecommendRequest, SimilarRequest
from genrec.serving.limits import Limits
from genrec.types import ITEM_ID, RANK, SCORE

Answer = dict[str, Any]  # as it is sent


def batch_group(request: AnyRequest) -> Hashable:
    """Returns a key, equal for requests that can be answered together. They differ in histories and times only."""
    values = (tuple(value.items()) if isinstance(value, Mapping) else value for value in request.settings.values())
    return type(request), getattr(request, "times", None) is None, *values


def split_request(request: AnyRequest) -> Sequence[AnyRequest]:
    """Returns one request for each history: the unit that waits and is counted."""
    if not isinstance(request, RecommendRequest):
        return [request]
    histories: Any = request.histories
    times = repeat(None) if request.times is None else ([history_times] for history_times in request.times)
    return [
        replace(request, histories=[history], times=history_times)
        for history, history_times in zip(histories, times, strict=False)
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
    together = replace(first, histories=histories, times=times, batch_size=len(histories))
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
