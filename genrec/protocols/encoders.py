"""What turns the content of items into vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from genrec.dataset import Sequences


class ItemEncoder(Protocol):
    def fit(self, items: pl.DataFrame, train: Sequences) -> None:
        """Learns vocabulary, projections, standardization. ``train`` holds training events only; rows of items = item_idx."""
        ...

    def encode(self, items: pl.DataFrame) -> Float[np.ndarray, "items dim"]:
        """Finite float32 vectors, also for items that were not there at ``fit`` (matched by ``item_id``, never by row)."""
        ...

    def present(self, items: pl.DataFrame) -> Bool[np.ndarray, " items"]:
        """Which items this source really knows something about (the others got its documented fallback)."""
        ...

    def save(self, folder: Path) -> None: ...
    def restore(self, folder: Path) -> None: ...
