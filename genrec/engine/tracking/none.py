"""No tracker: figures are only printed and written into the artifacts."""

from __future__ import annotations

from dataclasses import dataclass

from genrec.engine.tracking.tracker import Session


@dataclass(frozen=True, kw_only=True)
class NoLog:
    """Sends figures nowhere."""

    def open(self, session: Session) -> None:
        """Opens nothing."""
