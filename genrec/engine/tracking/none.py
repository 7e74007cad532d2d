"""No tracker: training's figures are printed, and the artifacts hold all there is to know."""

from __future__ import annotations

from dataclasses import dataclass

from genrec.engine.tracking.tracker import Session


@dataclass(frozen=True, kw_only=True)
class NoLog:
    """Nowhere."""

    def open(self, session: Session) -> None:
        """Opens nothing."""
