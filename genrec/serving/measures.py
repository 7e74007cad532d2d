"""Counts and times of a service, in the text format that Prometheus reads (version 0.0.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Lock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
Labels = tuple[tuple[str, str], ...]


class Counter:
    """Goes up only.

    Args:
        name: ends in ``_total``.
        told: what is counted.
    """

    def __init__(self, name: str, told: str) -> None:
        self.name, self.told = name, told
        self._values: dict[Labels, float] = {}
        self._lock = Lock()

    def add(self, amount: float = 1, **labels: str) -> None:
        """Counts."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            self._values[key] = self._values.get(key, 0) + amount

    def lines(self) -> Iterator[str]:
        """As Prometheus reads it."""
        yield from _head(self.name, self.told, "counter")
        with self._lock:
            values = dict(self._values)
        for labels, value in values.items():
            yield f"{self.name}{_shown(labels)} {value:g}"


class Gauge:
    """A number that is asked for when it is read, or several of them.

    Args:
        name: of it.
        told: what it is.
        read: gives it, or the number of each part.
        label: what parts are told apart by.
    """

    def __init__(self, name: str, told: str, read: Callable[[], float | Mapping[str, float]], label: str = "part") -> None:
        self.name, self.told, self.read, self.label = name, told, read, label

    def lines(self) -> Iterator[str]:
        """As Prometheus reads it."""
        yield from _head(self.name, self.told, "gauge")
        found = self.read()
        if not isinstance(found, Mapping):
            yield f"{self.name} {found:g}"
            return
        for part, number in found.items():
            yield f"{self.name}{_shown(((self.label, part),))} {number:g}"


class Histogram:
    """How often something was at most so large.

    Args:
        name: of it.
        told: what it is.
        bounds: ascending; a last one of infinity is added.
    """

    def __init__(self, name: str, told: str, bounds: Sequence[float]) -> None:
        self.name, self.told, self.bounds = name, told, tuple(bounds)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        self._lock = Lock()

    def observe(self, value: float, **labels: str) -> None:
        """Counts a value."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            counts = self._counts.setdefault(key, [0] * (len(self.bounds) + 1))
            counts[bisect_left(self.bounds, value)] += 1
            self._sums[key] = self._sums.get(key, 0.0) + value

    def lines(self) -> Iterator[str]:
        """As Prometheus reads it."""
        yield from _head(self.name, self.told, "histogram")
        with self._lock:
            known = [(labels, list(counts), self._sums[labels]) for labels, counts in self._counts.items()]
        for labels, counts, total in known:
            below = 0
            for bound, count in zip((*map("{:g}".format, self.bounds), "+Inf"), counts, strict=True):
                below += count
                yield f"{self.name}_bucket{_shown((*labels, ('le', bound)))} {below}"
            yield f"{self.name}_sum{_shown(labels)} {total:g}"
            yield f"{self.name}_count{_shown(labels)} {below}"


def _head(name: str, told: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {told}", f"# TYPE {name} {kind}"


def _shown(labels: Labels) -> str:
    escaped = ((key, value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")) for key, value in labels)
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped) + "}" if labels else ""
