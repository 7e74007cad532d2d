"""Counts for Prometheus: requests and refusals, recommendations, and the bundle that answers.

Every label has a fixed set of values, whatever clients send.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

from genrec.errors import GenRecError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
OTHER = "other"
# Why a request was refused: what stands first in ``where`` of its answer, or the status.
REASONS = frozenset(
    {"authorization", "beams", "body", "decoding", "filter", "generator", "histories", "history", "items", "item_id", "k"}
    | {"limit", "queue", "quota", "score", "server", "status", "steer", "times", "request", OTHER}
)
disable_created_metrics()  # a second series for each counter, which is not needed


class ServiceMetrics:
    """The counts and times of one service.

    Args:
        gauges: name -> (help text, function that returns its number or the number of each part).
        bundle: returns fingerprint and version of the current bundle, as text.
    """

    def __init__(
        self,
        gauges: Mapping[str, tuple[str, Callable[[], float | Mapping[str, float]]]],
        bundle: Callable[[], Mapping[str, str]],
    ) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter("genrec_requests_total", "Requests answered.", ("path", "method", "status"), registry=registry)
        self._seconds = Histogram(
            "genrec_request_seconds", "Time from a request to its answer.", ("path",), buckets=SECONDS, registry=registry
        )
        self._refusals = Counter("genrec_refusals_total", "Requests refused, by reason.", ("reason",), registry=registry)
        self._batch_size = Histogram("genrec_batch_size", "Histories decoded at once.", buckets=SIZES, registry=registry)
        self._batch_seconds = Histogram(
            "genrec_batch_seconds", "Time of a run of the model.", buckets=SECONDS, registry=registry
        )
        self._reloads = Counter("genrec_reloads_total", "Times that a bundle was opened anew.", ("result",), registry=registry)
        self._history_items = Counter(
            "genrec_history_items_total", "Items of histories; unknown: not in the catalogue.", ("kind",), registry=registry
        )
        self._lists = Counter(
            "genrec_lists_total",
            "Lists; short: with fewer items than wanted; with_new_items: with one that came after training.",
            ("kind",),
            registry=registry,
        )
        self._listed = Counter(
            "genrec_listed_items_total", "Items of lists; new: that came after training.", ("kind",), registry=registry
        )
        for counter, kinds in (
            (self._reloads, ("done", "failed")),
            (self._history_items, ("known", "unknown")),
            (self._lists, ("all", "short", "with_new_items")),
            (self._listed, ("trained", "new")),
        ):
            for kind in kinds:  # zeros are figures too
                counter.labels(kind)
        registry.register(_Gauges(gauges, bundle))

    def count_request(self, *, path: str, method: str, status: int, seconds: float) -> None:
        """Counts a request, by its path as it is declared."""
        self._requests.labels(path, method, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def count_refusal(self, error: GenRecError) -> None:
        """Counts a request that was refused."""
        self._refusals.labels(refusal_reason(error)).inc()

    def count_batch(self, *, entries: int, seconds: float) -> None:
        """Counts a run of the model."""
        self._batch_size.observe(entries)
        self._batch_seconds.observe(seconds)

    def count_lists(
        self, *, num_known: int, num_unknown: int, lists: int, short: int, with_new: int, trained: int, new: int
    ) -> None:
        """Counts the answers to histories of so many known and unknown items."""
        for counter, numbers in (
            (self._history_items, {"known": num_known, "unknown": num_unknown}),
            (self._lists, {"all": lists, "short": short, "with_new_items": with_new}),
            (self._listed, {"trained": trained, "new": new}),
        ):
            for kind, number in numbers.items():
                counter.labels(kind).inc(number)

    def count_reload(self, *, done: bool) -> None:
        """Counts a bundle that was opened again, or that could not be opened."""
        self._reloads.labels("done" if done else "failed").inc()

    @property
    def reloads(self) -> dict[str, int]:
        """The number of reloads that were done and that failed."""
        value = self.registry.get_sample_value
        return {kind: int(value("genrec_reloads_total", {"result": kind}) or 0) for kind in ("done", "failed")}

    def text(self) -> bytes:
        """Returns all metrics as Prometheus reads them."""
        return generate_latest(self.registry)


def refusal_reason(error: GenRecError) -> str:
    """Returns one of ``REASONS``."""
    first = error.where.replace(",", " ").replace(".", " ").replace(":", " ").split()
    return first[0] if first and first[0] in REASONS else OTHER


class _Gauges:
    """Numbers that are read when they are asked for."""

    def __init__(self, gauges: Any, bundle: Callable[[], Mapping[str, str]]) -> None:
        self._gauges, self._bundle = gauges, bundle

    def collect(self) -> Iterator[Any]:
        """See prometheus_client."""
        for name, (help_text, read) in self._gauges.items():
            reading = read()
            if isinstance(reading, Mapping):
                family = GaugeMetricFamily(name, help_text, labels=("part",))
                for part, number in reading.items():
                    family.add_metric([part], number)
            else:
                family = GaugeMetricFamily(name, help_text, value=reading)
            yield family
        yield InfoMetricFamily("genrec_bundle", "What is answered from.", value=dict(self._bundle()))


def seconds_since(created: str) -> float:
    """Returns the seconds since a moment of a manifest; 0 where it has none."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return 0.0
    return max(time.time() - (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp(), 0.0)
