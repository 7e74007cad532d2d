"""Times: their resolution, what their ties decide, and how much of the training part is in the future of a test target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from genrec.audits.ranks import id_ranks, per_user, summary, target_hits
from genrec.baselines.lib.ranking import scores_of
from genrec.baselines.popularity import Popularity
from genrec.baselines.transitions import Transitions
from genrec.core.dataset import Dataset, Sequences
from genrec.protocols import Baseline

UNITS = {"day": 86_400, "hour": 3_600, "minute": 60}
MINUTE, DAY = 60.0, 86_400.0
SHUFFLES = 3


def event_times(dataset: Dataset) -> Float[np.ndarray, " events"] | None:
    """Reads times in seconds, in the order of the events; nan where missing."""
    return None if dataset.times is None else np.asarray(dataset.times, dtype=np.float64)


def time_facts(dataset: Dataset, times: Float[np.ndarray, " events"]) -> dict[str, Any]:
    """Measures missing times, their unit, ties and pace.

    ``tied_events`` share user and time with a neighbour in the history; ``tied_targets``: test targets that do, with the
    event before them. ``within_minute`` and ``within_day``: consecutive events at most so far apart; ``median_span_days``: from
    a user's first event to the last. ``backward``: consecutive events whose time goes back, so that the order is not that of
    the times.
    """
    user = dataset.events.user_idx
    step = np.diff(times)[user[1:] == user[:-1]]
    step = step[np.isfinite(step)]
    runs = np.bincount(tie_runs(dataset, times))
    finite = times[np.isfinite(times)]
    starts, ends = dataset.events.offsets[:-1], dataset.events.offsets[1:]
    spans = (times[ends - 1] - times[starts])[ends > starts]
    held_out = np.flatnonzero(np.arange(len(times)) >= dataset.validation_ends[user])
    held_out = held_out[held_out > starts[user[held_out]]]
    return {
        "missing": float(1 - len(finite) / len(times)),
        "unit": next((unit for unit, seconds in UNITS.items() if not (finite % seconds).any()), "second"),
        "tied_events": float(runs[runs > 1].sum() / len(times)),
        "tied_targets": float(np.mean(times[held_out] == times[held_out - 1])) if len(held_out) else 0.0,
        "within_minute": float(np.mean((step >= 0) & (step <= MINUTE))) if len(step) else 0.0,
        "within_day": float(np.mean((step >= 0) & (step <= DAY))) if len(step) else 0.0,
        "backward": float(np.mean(step < 0)) if len(step) else 0.0,
        "median_span_days": float(np.nanmedian(spans)) / DAY,
    }


def future(dataset: Dataset, times: Float[np.ndarray, " events"]) -> dict[str, float]:
    """Measures how much of the training part came later than a test target.

    ``later_training``: the share of training events that are later than the target, averaged over targets.
    ``item_not_yet_seen``: targets whose item's first training event is later than the target (of items that have any).
    ``own_later_training``: targets that are earlier than a training event of the same user.
    """
    user = dataset.events.user_idx
    position = np.arange(len(times))
    timed = np.isfinite(times)
    trained, tested = timed & (position < dataset.train_ends[user]), timed & (position >= dataset.validation_ends[user])
    if not trained.any() or not tested.any():
        return {"later_training": 0.0, "item_not_yet_seen": 0.0, "own_later_training": 0.0}
    when, items = times[tested], dataset.events.item_idx[tested]
    later = 1 - np.searchsorted(np.sort(times[trained]), when, side="right") / trained.sum()
    first = np.full(dataset.num_items, np.inf)
    np.minimum.at(first, dataset.events.item_idx[trained], times[trained])
    last_of_user = np.full(dataset.num_users, -np.inf)
    np.maximum.at(last_of_user, user[trained], times[trained])
    return {
        "later_training": float(later.mean()),
        "item_not_yet_seen": float(np.mean(np.isfinite(first[items]) & (first[items] > when))),
        "own_later_training": float(np.mean(last_of_user[user[tested]] > when)),
    }


def tie_orders(dataset: Dataset, times: Float[np.ndarray, " events"], log: Callable[[str], None]) -> dict[str, Any]:
    """Measures baselines under other orders of equal times: as prepared, by item id, and shuffled.

    The baselines are transition counts, and popularity, which ignores order.

    Returns:
        Order -> ``changed_targets`` (share of test targets that are another item than as prepared) and, per baseline, metric
        key -> mean, low, high. Orders: ``prepared``, ``item_id``, ``shuffled_0`` ...
    """
    by_id = id_ranks(dataset.item_ids)[dataset.events.item_idx]
    orders = {"prepared": dataset, "item_id": reorder_ties(dataset, times, by_id)}
    for seed in range(SHUFFLES):
        shuffled = np.random.default_rng(seed).permutation(len(times))
        orders[f"shuffled_{seed}"] = reorder_ties(dataset, times, shuffled)
    prepared = dataset.targets("test").item_idx
    figures: dict[str, Any] = {}
    for name, data in orders.items():
        figures[name] = {"changed_targets": float(np.mean(data.targets("test").item_idx != prepared))}
        baselines: dict[str, Baseline] = {"transitions": Transitions(), "popularity": Popularity()}
        for baseline_name, baseline in baselines.items():
            baseline.fit(data)
            values = per_user(target_hits(scores_of(baseline), data, "test")[True], "test", (10,))
            figures[name][baseline_name] = summary(values)
        log(f"ties {name.replace('_', ' ')}: {figures[name]['changed_targets']:.1%} of the test targets change")
    return figures


def tie_runs(dataset: Dataset, times: Float[np.ndarray, " events"]) -> Int64[np.ndarray, " events"]:
    """Numbers the runs of neighbouring events with the same user and time; an event with a missing time is its own run."""
    user = dataset.events.user_idx
    new = np.ones(len(times), dtype=bool)
    new[1:] = (user[1:] != user[:-1]) | ~(times[1:] == times[:-1])
    return np.cumsum(new) - 1


def reorder_ties(dataset: Dataset, times: Float[np.ndarray, " events"], key: Int64[np.ndarray, " events"]) -> Dataset:
    """Returns the dataset with the events of every tie run in ascending order of ``key``; the split is not moved."""
    order = np.lexsort((key, tie_runs(dataset, times)))
    return replace(dataset, events=Sequences(np.asarray(dataset.events.item_idx)[order], dataset.events.offsets))
