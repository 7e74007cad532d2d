"""Copies: targets that also stand in training, events that were recorded twice, users that occur twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from genrec.core.dataset import Dataset
from genrec.data.lib.targets import target_facts

SHORTEST = 3  # events; shorter histories coincide by chance


def copies(dataset: Dataset, times: Float[np.ndarray, " events"] | None) -> dict[str, Any]:
    """Shares of copies.

    Returns:
        ``repeated_targets``: test targets whose item stands in the user's history (repeat consumption, or a copy).
        ``leaked_targets``: test targets recorded in the same user's history with the same time: copies for certain; None
        without times. ``repeated_events``: events whose user had the item before; ``double_events``: those with the same
        time; None without times. ``duplicate_users``: users whose whole sequence of at least 3 events is another user's too;
        ``duplicate_histories``: of them, those with a test target; ``largest_group``: users who share one sequence.
    """
    item, user = dataset.events.item_idx, dataset.events.user_idx
    pair = user * dataset.num_items + item
    order = np.argsort(pair, kind="stable")  # an item's events of one user stand together, oldest first
    again = np.zeros(len(item), dtype=bool)
    again[order[1:]] = pair[order[1:]] == pair[order[:-1]]
    found: dict[str, Any] = {
        "repeated_targets": target_facts(dataset)["test"]["repeat_rate"],
        "repeated_events": float(again.mean()),
        "double_events": None,
        "leaked_targets": None,
    }
    if times is not None:
        double = _again_at_the_same_time(pair, times)
        tested = np.arange(len(item)) >= dataset.validation_ends[user]
        found |= {"double_events": float(double.mean()), "leaked_targets": float(double[tested].mean())}

    groups: dict[bytes, int] = {}
    for row in np.flatnonzero(dataset.events.lengths >= SHORTEST).tolist():
        sequence = np.asarray(dataset.events[row]).tobytes()
        groups[sequence] = groups.get(sequence, 0) + 1
    shared = [number for number in groups.values() if number > 1]
    found |= {
        "duplicate_users": sum(shared) / max(1, dataset.num_users),
        "largest_group": max(shared, default=0),
    }
    return found


def _again_at_the_same_time(pair: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Per event: the user had this item at this very time already."""
    order = np.lexsort((np.arange(len(pair)), times, pair))
    double = np.zeros(len(pair), dtype=bool)
    same = (pair[order[1:]] == pair[order[:-1]]) & (times[order[1:]] == times[order[:-1]])
    double[order[1:]] = same
    return double
