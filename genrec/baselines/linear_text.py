"""A linear map from the texts of a history to the text of what comes next: ridge regression in closed form.

Own design: see docs/methods/linear_baselines.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float, Int64

from genrec.baselines.lib.item_to_item import recency_weights
from genrec.baselines.lib.ranking import tie_breaker
from genrec.baselines.lib.setting_search import OpenSettings
from genrec.core.dataset import Dataset, Sequences
from genrec.errors import ConfigError

EVENTS_AT_ONCE = 100_000  # whose contexts are in memory together: 50 MB with vectors of 128 numbers
MOST_EVENTS = 1_000_000  # of more, every n-th user is fitted on: a map of some ten thousand numbers needs no more


class LinearText(OpenSettings):
    """Ridge regression (Hoerl and Kennard, 1970) from the mean of the history's text vectors to the next item's vector.

    With ``x = sum over the m-th last items of decay ** m * v(item) / sum of decay ** m`` for every training event that has a
    history, and ``y`` the vector of that event's item: ``W, c = argmin sum ||x W + c - y||^2 + ridge ||W||^2``, and
    ``score(b | history) = (x W + c) . v(b)``. The vectors are centred, whitened and given unit length: as they come, a few
    directions outweigh the rest (NDCG@10 half as high on Amazon Office and Beauty). It knows new items as well as old ones. A
    setting that is null is chosen on validation.

    Args:
        text_vectors: float [items, dim]; of the source that the encoder calls text, or its own where it has one source only.
        ridge: weight of the penalty on W, in events, > 0; c is free.
        decay: weight of an item relative to the next more recent one, in (0, 1].
        last: how many of the most recent items count, >= 1.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"encoder"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"decay": (0.4, 0.2, 0.6, 0.8), "ridge": (1.0, 10.0, 100.0)}

    ridge: float
    decay: float

    def __init__(
        self,
        *,
        text_vectors: Float[np.ndarray, "items dim"] | None = None,
        ridge: float | None = 1.0,
        decay: float | None = 0.4,
        last: int = 20,
    ) -> None:
        self.settle(ridge=ridge, decay=decay)
        if not self.ridge > 0:
            raise ConfigError("ridge", expected="more than 0", got=ridge, fix="choose another")
        if not 0 < self.decay <= 1:
            raise ConfigError("decay", expected="a number in (0, 1]", got=decay, fix="choose another")
        if last < 1:
            raise ConfigError("last", expected="1 or more", got=last, fix="choose another")
        self.text_vectors, self.last = text_vectors, last
        self._moments: dict[float, tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = {}

    def obstacle(self, dataset: Dataset) -> str | None:
        """Why it cannot be fitted, or None."""
        return "nothing here makes text vectors of the items" if self.text_vectors is None else None

    def fit(self, dataset: Dataset) -> None:
        if self.text_vectors is None:
            fix = "use it where an encoder gives them"
            raise ConfigError("text_vectors", expected="vectors of the items", got="none", fix=fix)
        self.unit = _whiten(np.asarray(self.text_vectors, dtype=np.float64))
        self.train, self.tie_breaker = dataset.train, tie_breaker(dataset)
        self._solve()

    def with_settings(self, **settings: Any) -> Self:
        """The same baseline, fitted, by other values of open settings; what was added up for a decay is used again."""
        other = copy(self)
        for name, value in settings.items():
            setattr(other, name, value)
        other._solve()
        return other

    def score(self, histories: Sequences) -> Float[np.ndarray, "users items"]:
        predicted = self._contexts(histories) @ self.weights + self.intercept
        return (predicted @ self.unit.T).astype(np.float64) + self.tie_breaker

    def _contexts(self, histories: Sequences) -> Float[np.ndarray, "users dim"]:
        """The decayed mean of each history's vectors; zero of an empty one."""
        recent = recency_weights(histories, len(self.unit), last=self.last, decay=self.decay)
        total = np.asarray(recent.sum(axis=1))[:, None]
        return ((recent @ self.unit) / np.maximum(total, 1e-12)).astype(np.float32)

    def _solve(self) -> None:
        if self.decay not in self._moments:
            self._moments[self.decay] = self._sum_rows()
        number, mean_x, mean_y, gram, cross = self._moments[self.decay]
        gram = gram - number * np.outer(mean_x, mean_x)
        cross = cross - number * np.outer(mean_x, mean_y)
        weights = np.linalg.solve(gram + self.ridge * np.eye(len(gram)), cross)
        self.weights = weights.astype(np.float32)
        self.intercept = (mean_y - mean_x @ weights).astype(np.float32)

    def _sum_rows(self) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Number of events, means of contexts and targets, and the sums of x x' and x y', in float64."""
        dim = self.unit.shape[1]
        number, sum_x, sum_y = 0, np.zeros(dim), np.zeros(dim)
        gram, cross = np.zeros((dim, dim)), np.zeros((dim, dim))
        every = max(1, -(-len(self.train.item_idx) // MOST_EVENTS))
        users = np.arange(0, len(self.train), every)
        for chunk in _chunks(users, self.train.lengths[users]):
            x, y = self._events(self.train.of(chunk))
            number += len(x)
            sum_x, sum_y = sum_x + x.sum(axis=0, dtype=np.float64), sum_y + y.sum(axis=0, dtype=np.float64)
            gram, cross = gram + x.T @ x, cross + x.T @ y
        return number, sum_x / max(number, 1), sum_y / max(number, 1), gram, cross

    def _events(self, train: Sequences) -> tuple[Float[np.ndarray, "events dim"], Float[np.ndarray, "events dim"]]:
        """Context and target of every event that has a history."""
        position = np.arange(len(train.item_idx)) - np.repeat(train.offsets[:-1], train.lengths)
        events = np.flatnonzero(position > 0)
        x = np.zeros((len(events), self.unit.shape[1]), dtype=np.float32)
        total = np.zeros((len(events), 1), dtype=np.float32)
        for age in range(min(self.last, int(position.max(initial=0)))):
            there = position[events] > age
            weight = np.float32(self.decay**age)
            x[there] += weight * self.unit[train.item_idx[events[there] - 1 - age]]
            total[there] += weight
        return x / np.maximum(total, 1e-12), self.unit[train.item_idx[events]]


def _whiten(vectors: Float[np.ndarray, "items dim"]) -> Float[np.ndarray, "items dim"]:
    """Centred, of equal variance in every direction that has any, and of unit length."""
    centred = vectors - vectors.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred / max(1, len(centred)))
    used = variances > variances.max(initial=0) * 1e-9
    white = centred @ (directions[:, used] / np.sqrt(variances[used]))
    return (white / np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _chunks(users: Int64[np.ndarray, " users"], lengths: Int64[np.ndarray, " users"]) -> list[np.ndarray]:
    """Users in groups of about ``EVENTS_AT_ONCE`` events."""
    group = np.cumsum(lengths) // EVENTS_AT_ONCE
    return np.split(users, np.flatnonzero(np.diff(group)) + 1)
