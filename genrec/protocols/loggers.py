"""What sends the curves and figures of a run somewhere."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Logger(Protocol):
    """An option of the ``logger`` group."""

    def open(self, session: Any) -> Any:
        """Returns a ``Tracker`` for one process at work on a run (a ``Session``), both of ``genrec.training.loggers``."""
        ...
