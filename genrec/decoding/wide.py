"""Strategies for longer lists than they were set up for: their beams widen to the list, and nothing else changes."""

from __future__ import annotations

from copy import copy

from genrec.protocols import DecodingStrategy, HasBeams, WrapsStrategy


def widened(strategy: DecodingStrategy, k: int) -> DecodingStrategy:
    """The strategy itself where it keeps enough beams for ``k`` items, else a copy with ``k`` of them.

    A strategy around another (its attribute ``strategy``) is copied with a widened one inside. What a strategy keeps between
    calls in an object of its own, such as a graph, the copies share.
    """
    if isinstance(strategy, WrapsStrategy):
        wider = widened(strategy.strategy, k)
        if wider is strategy.strategy:
            return strategy
        around = copy(strategy)
        around.strategy = wider
        return around
    if not isinstance(strategy, HasBeams) or strategy.num_beams >= k:
        return strategy
    wide = copy(strategy)
    wide.num_beams = k
    return wide
