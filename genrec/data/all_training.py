"""A split that holds nothing out: all events train, for the final fit of a model that goes to production."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl


class AllTraining:
    """All events train. Without held-out events, take the number of epochs from a run with another split."""

    holds_out: ClassVar[bool] = False  # nothing can be evaluated, which is checked before the first stage runs

    def keep(self, users: pl.DataFrame) -> np.ndarray:
        """Marks the users that stay, bool [users]: all of them."""
        return np.ones(users.height, bool)

    def split(self, offsets: np.ndarray, timestamps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Ends every part at the end of the user's events, so that validation and test are empty."""
        return offsets[1:].copy(), offsets[1:].copy(), {"rule": "all"}
