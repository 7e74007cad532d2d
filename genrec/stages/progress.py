"""A progress bar over users, with an ETA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

@contextmanager
def user_progress(title: str, total: int, show: bool) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with the number of users just done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # opening a bundle has none

    columns = (TextColumn(f"  {title}"), BarColumn(), MofNCompleteColumn(), TextColumn("users"), TimeRemainingColumn())
    with Progress(*columns, transient=True, disable=not show) as bar:
        task = bar.add_task(title, total=total)
        yield lambda count: bar.advance(task, count)
