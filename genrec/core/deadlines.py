"""Deadlines: long computations check between their steps whether their result is still needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_wanted: ContextVar[Callable[[], bool] | None] = ContextVar("is_wanted", default=None)


class AbandonedError(Exception):
    """The caller no longer waits for the answer."""


@contextmanager
def while_wanted(is_wanted: Callable[[], bool]) -> Iterator[None]:
    """Lets a computation end early: inside, ``stop_if_abandoned`` raises as soon as ``is_wanted`` returns False."""
    token = _is_wanted.set(is_wanted)
    try:
        yield
    finally:
        _is_wanted.reset(token)


def stop_if_abandoned() -> None:
    """Stops an abandoned computation. It is called between searches, levels of a search, batches and passes over the items.

    Raises:
        AbandonedError: inside ``while_wanted`` only, when the caller no longer waits.
    """
    is_wanted = _is_wanted.get()
    if is_wanted is not None and not is_wanted():
        raise AbandonedError
