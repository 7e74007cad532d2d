"""Progress bars with an ETA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def user_progress(title: str, total: int, show: bool) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with the number of users just done."""
    with step_progress(title, total, show, unit="users") as advance:
        yield advance


@contextmanager
def step_progress(title: str, total: int, show: bool, *, unit: str = "tried") -> Iterator[Callable[[int], None]]:
    """Yields a function to call with the number of steps just done."""
    from rich import progress as rich  # slow to import, and opening a bundle imports this file

    words = (rich.TextColumn(f"  {title}"), rich.BarColumn(), rich.MofNCompleteColumn(), rich.TextColumn(unit))
    with rich.Progress(*words, rich.TimeRemainingColumn(), transient=True, disable=not show) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)
