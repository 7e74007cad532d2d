"""Work that somebody waits for: long computations ask between their steps whether anybody still does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_wanted: ContextVar[Callable[[], bool] | None] = ContextVar("is_wanted", default=None)


class AbandonedError(Exception):
    """Nobody waits for the answer any more."""


@contextmanager
def while_wanted(is_wanted: Callable[[], bool]) -> Iterator[None]:
    """Lets what is computed inside end early: ``stop_if_abandoned`` raises as soon as ``is_wanted`` says no."""
    token = _is_wanted.set(is_wanted)
    try:
        yield
    finally:
        _is_wanted.reset(token)


def stop_if_abandoned() -> None:
    """Called between the steps of long work: between searches, levels of a search, batches, passes over the items.

    Raises:
        AbandonedError: when the work is done for somebody (see ``while_wanted``) who has given up; never elsewhere.
    """
    is_wanted = _is_wanted.get()
    if is_wanted is not None and not is_wanted():
        raise AbandonedError
