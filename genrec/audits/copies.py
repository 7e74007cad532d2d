"""Copies: targets that also occur in training, events that were recorded twice, users that occur twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from genrec.core.dataset import Dataset
from genrec.data.lib.events import target_facts

SHORTEST = 3  # events; shorter histories coincide by chance


def copies(dataset: Dataset, times: Float[np.ndarray, " events"] | None) -> dict[str, Any]:
    """Measures the shares of copies.

    Returns:
        ``repeated_targets``: test targets whose item is in the user's history (repeat consumption, or a copy).
        ``leaked_targets``: test targets recorded in the same user's history with the same time: copies for certain; None
        without times. ``repeated_events``: events whose user had the item before; ``double_events``: those with the same
        time; None without times. ``duplicate_users``: users whose whole sequence of at least 3 events is another user's too;
        ``duplicate_histories``: of them, those with a test target; ``largest_group``: users who share one sequence.
    """
    item, user = dataset.events.item_idx, dataset.events.user_idx
    pair = user * dataset.num_items + item
    order = np.argsort(pair, kind="stable")  # an item's events of one user are neighbours, oldest first
    again = np.zeros(len(item), dtype=bool)
    again[order[1:]] = pair[order[1:]] == pair[order[:-1]]
    shares: dict[str, Any] = {
        "repeated_targets": target_facts(dataset)["test"]["repeat_rate"],
        "repeated_events": float(again.mean()),
        "double_events": None,
        "leaked_targets": None,
    }
    if times is not None:
        double = _same_time_repeats(pair, times)
        tested = np.arange(len(item)) >= dataset.validation_ends[user]
        shares |= {"double_events": float(double.mean()), "leaked_targets": float(double[tested].mean())}

    groups: dict[bytes, int] = {}
    for row in np.flatnonzero(dataset.events.lengths >= SHORTEST).tolist():
        sequence = np.asarray(dataset.events[row]).tobytes()
        groups[sequence] = groups.get(sequence, 0) + 1
    group_sizes = [number for number in groups.values() if number > 1]
    shares |= {
        "duplicate_users": sum(group_sizes) / max(1, dataset.num_users),
        "largest_group": max(group_sizes, default=0),
    }
    return shares


def _same_time_repeats(pair: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Marks events whose user already had this item at this very time."""
    order = np.lexsort((np.arange(len(pair)), times, pair))
    double = np.zeros(len(pair), dtype=bool)
    same = (pair[order[1:]] == pair[order[:-1]]) & (times[order[1:]] == times[order[:-1]])
    double[order[1:]] = same
    return double
