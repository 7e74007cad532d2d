"""Logs as one JSON object a line, and progress bars with the remaining time."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

LOGGER = logging.getLogger("genrec.serving")


class JsonLines(logging.Formatter):
    """Formats time, level, message and ``fields`` of a record. Tracebacks are logged and never sent to a client."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns a record as one line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def log_to_stderr() -> None:
    """Logs genrec and uvicorn as JSON lines to stderr; uvicorn's line for each request is replaced by genrec's."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("genrec", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)


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
