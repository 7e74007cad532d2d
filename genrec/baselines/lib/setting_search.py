"""Chooses what is left open in a baseline's settings: on validation, one setting after the other.

Settings of baselines that are left open (null), to be chosen on validation (see ``genrec.baselines.lib.setting_search``).

A class that has such settings names the values that are tried, the first of which stands until others were: ``grid``.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from jaxtyping import Float, Int64

from genrec.baselines.lib.ranking import TIE_BREAK
from genrec.core.dataset import Dataset, Sequences
from genrec.protocols import Baseline, HasOpenSettings, Resettable, SparseScores

K = 10  # settings are chosen by NDCG at 10
PASSES = 2  # over all open settings; the second only where the first changed something
ROWS_AT_ONCE, DENSE_ROWS_AT_ONCE = 1000, 200  # users ranked at once
GAINS = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(K) + 2))])  # of all ranks up to this one

AnyBaseline = TypeVar("AnyBaseline", bound=Baseline)


@dataclass(frozen=True)
class ValidationSample:
    """Users with a validation target, and each one's first target: the very next item.

    Args:
        histories: whole histories before the target.
        targets: int64 [users].
        exclude_seen: an item of the history is never ranked; a target among them is a miss.
    """

    histories: Sequences
    targets: Int64[np.ndarray, " users"]
    exclude_seen: bool

    @classmethod
    def draw(cls, dataset: Dataset, *, exclude_seen: bool, num_users: int, seed: int) -> ValidationSample:
        """A seeded sample of the users with a validation target, in the order of the users; perhaps of nobody."""
        targets = dataset.targets("validation")
        users = np.flatnonzero(targets.lengths)
        users = np.sort(np.random.default_rng(seed).permutation(users)[:num_users])
        following = targets.item_idx[targets.offsets[users]].astype(np.int64)
        return cls(dataset.histories("validation").of(users), following, exclude_seen)

    def __len__(self) -> int:
        return len(self.targets)

    def ndcg(self, baseline: Any) -> float:
        """NDCG@10 of a fitted baseline; in a group of equal scores the mean over its ranks."""
        if not len(self):
            return 0.0
        gained, rows = 0.0, np.arange(len(self))
        if isinstance(baseline, SparseScores):
            parts = [
                self._sparse_gains(baseline, rows[start : start + ROWS_AT_ONCE]) for start in range(0, len(self), ROWS_AT_ONCE)
            ]
            gained, rows = sum(part[0] for part in parts), np.concatenate([part[1] for part in parts])
        for start in range(0, len(rows), DENSE_ROWS_AT_ONCE):
            gained += self._dense_gains(baseline, rows[start : start + DENSE_ROWS_AT_ONCE])
        return gained / len(self)

    def _dense_gains(self, baseline: Any, rows: Int64[np.ndarray, " rows"]) -> float:
        histories, targets = self.histories.of(rows), self.targets[rows]
        scores = np.asarray(baseline.score(histories), dtype=np.float64)
        if self.exclude_seen:
            scores[histories.user_idx, histories.item_idx] = -np.inf
        of_target = scores[np.arange(len(rows)), targets][:, None]
        better, equal = (scores > of_target).sum(axis=1), (scores == of_target).sum(axis=1)
        return float(_gain(better, equal)[np.isfinite(of_target[:, 0])].sum())

    def _sparse_gains(self, baseline: Any, rows: Int64[np.ndarray, " rows"]) -> tuple[float, Int64[np.ndarray, " some"]]:
        """Returns what the users gain whose target has a score, without a dense table; and the users who need one.

        Those are the ones whose target has no score while fewer than ``K`` other items may have one.
        """
        histories, targets = self.histories.of(rows), self.targets[rows]
        scores = baseline.sparse_scores(histories).tocsr()
        lengths = np.diff(scores.indptr)
        row = np.repeat(np.arange(len(rows)), lengths)
        is_target = (scores.indices == targets[row]) & (scores.data > 0)
        of_target = np.full(len(rows), np.inf)
        of_target[row[is_target]] = scores.data[is_target]
        scored = np.isfinite(of_target)
        near = np.flatnonzero(scores.data >= (of_target - 2 * TIE_BREAK)[row])  # few: the rest is below the target
        row, item = row[near], scores.indices[near]
        values = scores.data[near] + baseline.tie_breaker[item]
        of_target[scored] += baseline.tie_breaker[targets[scored]]
        possible = lengths - (histories.lengths if self.exclude_seen else 0)
        if self.exclude_seen:
            seen = histories.user_idx * scores.shape[1] + histories.item_idx
            values[np.isin(row * scores.shape[1] + item, seen)] = -np.inf
            forbidden = histories.user_idx[histories.item_idx == targets[histories.user_idx]]
            scored[forbidden] = False
        better = np.bincount(row, weights=values > of_target[row], minlength=len(rows))[scored].astype(np.int64)
        equal = np.bincount(row, weights=values == of_target[row], minlength=len(rows))[scored].astype(np.int64)
        return float(_gain(better, equal).sum()), rows[np.isinf(of_target) & (possible < K)]


@dataclass(frozen=True)
class Choice(Generic[AnyBaseline]):
    """A fitted baseline with the settings that were best on validation.

    Args:
        baseline: fitted.
        settings: name -> value of every setting that was chosen or given for a searched class.
        chosen: names of those that were chosen here.
        ndcg: NDCG@10 of the sample; None where nothing was chosen.
        tried: how many combinations were measured.
        users: in the sample.
        seconds: for fitting and choosing.
    """

    baseline: AnyBaseline
    settings: dict[str, Any]
    chosen: tuple[str, ...]
    ndcg: float | None
    tried: int
    users: int
    seconds: float

    @property
    def facts(self) -> dict[str, Any]:
        """For a manifest or metrics.json; without the seconds, which are another each time."""
        return {
            "settings": self.settings,
            "chosen": list(self.chosen),
            "val/ndcg@10": self.ndcg,
            "tried": self.tried,
            "users": self.users,
        }

    @property
    def line(self) -> str:
        """``window 12, backward 0.2 (the best of 24 on 3,000 validation users, NDCG@10 0.0681)``."""
        values = {name: str(value).lower() if isinstance(value, bool) else value for name, value in self.settings.items()}
        text = ", ".join(f"{name} {value}" for name, value in values.items())
        if self.ndcg is None:
            return text
        return f"{text} (the best of {self.tried} on {self.users:,} validation users, NDCG@{K} {self.ndcg:.4f})"


def choose(
    baseline: AnyBaseline,
    dataset: Dataset,
    sample: ValidationSample,
    *,
    advance: Callable[[int], None] = lambda count: None,
) -> Choice[AnyBaseline]:
    """Fits a baseline on the training part and settles its open settings on validation targets, by coordinate search.

    One setting after the other takes the value that ranks the sample's targets best, the earlier one of equals; again from the
    start while that changed something, ``PASSES`` times at most. A baseline without open settings, and any where the sample is
    empty, is fitted as it is.

    Args:
        baseline: not yet fitted; with open settings where its class has a ``grid`` (see ``OpenSettings``).
        dataset: what to fit on.
        sample: whose targets to rank.
        advance: called with the number of combinations just tried.
    """
    start = time.perf_counter()
    baseline.fit(dataset)
    names = _open(baseline)
    if not isinstance(baseline, HasOpenSettings) or not names or not len(sample):
        settings: dict[str, Any] = dict(baseline.settings) if isinstance(baseline, HasOpenSettings) else {}
        return Choice(baseline, settings, (), None, 0, len(sample), time.perf_counter() - start)
    grid: Mapping[str, tuple[Any, ...]] = baseline.grid
    best, best_ndcg = baseline, sample.ndcg(baseline)
    tried: dict[tuple[Any, ...], float] = {tuple(getattr(best, name) for name in names): best_ndcg}
    advance(1)
    for _ in range(PASSES):
        before = best
        for name in names:
            fixed = best
            for value in grid[name]:
                settings = {each: getattr(fixed, each) for each in names} | {name: value}
                if (key := tuple(settings.values())) in tried:
                    continue
                candidate = _changed(fixed, dataset, {name: value})
                tried[key] = sample.ndcg(candidate)
                advance(1)
                if tried[key] > best_ndcg:
                    best, best_ndcg = candidate, tried[key]
        if best is before:
            break
    chosen = {name: getattr(best, name) for name in grid}
    return Choice(best, chosen, tuple(names), best_ndcg, len(tried), len(sample), time.perf_counter() - start)


def most_tries(baseline: Any) -> int:
    """Returns how many combinations ``choose`` tries at most."""
    sizes = [len(baseline.grid[name]) - 1 for name in _open(baseline)]
    return 1 + PASSES * sum(sizes)


def _open(baseline: object) -> list[str]:
    """The settings that are open and have values to try."""
    if not isinstance(baseline, HasOpenSettings):
        return []
    return [name for name in baseline.grid if name in baseline.open_settings]


def _changed(baseline: Any, dataset: Dataset, settings: Mapping[str, Any]) -> Any:
    """The baseline by other settings, fitted; without counting anew where its class knows how."""
    if isinstance(baseline, Resettable):
        return baseline.with_settings(**settings)
    arguments = {name: getattr(baseline, name) for name in inspect.signature(type(baseline)).parameters if name not in settings}
    other = type(baseline)(**arguments, **settings)
    other.fit(dataset)
    return other


def _gain(better: Int64[np.ndarray, " users"], equal: Int64[np.ndarray, " users"]) -> Float[np.ndarray, " users"]:
    return (GAINS[np.minimum(better + equal, K)] - GAINS[np.minimum(better, K)]) / np.maximum(equal, 1)


class OpenSettings:
    """A baseline some of whose settings may be null: chosen on validation, each from the ``grid`` of its class."""

    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    open_settings: tuple[str, ...] = ()

    def settle(self, **settings: Any) -> None:
        """Sets each setting as an attribute; one that is null gets the first value of the grid, and stays open."""
        self.open_settings = (*self.open_settings, *(name for name, value in settings.items() if value is None))
        for name, value in settings.items():
            setattr(self, name, self.grid[name][0] if value is None else value)

    def adopt(self, settings: Mapping[str, Any]) -> None:
        """Sets what was chosen elsewhere and read back, checked as the constructor checks.

        Raises:
            ConfigError: for a value that the constructor does not accept.
        """
        own_settings = {name: settings[name] for name in self.grid if name in settings}
        type(self)(**own_settings)
        for name, value in own_settings.items():
            setattr(self, name, value)

    @property
    def settings(self) -> dict[str, Any]:
        """Returns the current value of each setting that has a grid."""
        return {name: getattr(self, name) for name in self.grid}
