"""No split: everything is training data, for the refit that goes to production."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl


class AllTraining:
    """Everything trains, nothing is held out; take the number of epochs from the run that was chosen with a split."""

    holds_out: ClassVar[bool] = False  # so nothing can be evaluated, which is told before anything runs

    def keep(self, users: pl.DataFrame) -> np.ndarray:
        """Who stays, bool [users]: everyone."""
        return np.ones(users.height, bool)

    def split(self, offsets: np.ndarray, timestamps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """All parts end where the user ends."""
        return offsets[1:].copy(), offsets[1:].copy(), {"rule": "all"}
