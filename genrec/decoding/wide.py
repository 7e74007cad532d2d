"""Strategies for longer lists than they were set up for: their beams widen to the list, and nothing else changes."""

from __future__ import annotations

from copy import copy
from typing import Any


def widened(strategy: Any, k: int) -> Any:
    """The strategy itself where it keeps enough beams for ``k`` items, else a copy with ``k`` of them.

    A strategy around another (its attribute ``strategy``) is copied with a widened one inside. What a strategy keeps between
    calls in an object of its own, such as a graph, the copies share.
    """
    inner = getattr(strategy, "strategy", None)
    if inner is not None:
        wider = widened(inner, k)
        if wider is inner:
            return strategy
        around = copy(strategy)
        around.strategy = wider
        return around
    if getattr(strategy, "num_beams", k) >= k:
        return strategy
    wide = copy(strategy)
    wide.num_beams = k
    return wide
