"""What floors that go from the items of a history to other items have in common: a matrix, and how recent items weigh."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Self

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float
from safetensors.numpy import load_file, save_file

from genrec.baselines.recency import recency_weights
from genrec.dataset import Sequences
from genrec.errors import ConfigError

STATE_FILE = "item_to_item.safetensors"


class ItemToItem:
    """``score(b | history) = sum over the m-th last items a of decay ** m * matrix[a, b]``, and a little for popularity.

    Args:
        last: how many of the most recent items count, >= 1.
        decay: weight of an item relative to the next more recent one, in (0, 1].
    """

    matrix: sparse.csr_array  # float64 [items, items], >= 0
    tie_breaker: Float[np.ndarray, " items"]

    def __init__(self, *, last: int, decay: float) -> None:
        if last < 1:
            raise ConfigError("last", expected="1 or more", got=last, fix="choose another")
        if not 0 < decay <= 1:
            raise ConfigError("decay", expected="a number in (0, 1]", got=decay, fix="choose another")
        self.last, self.decay = last, decay

    def score(self, histories: Sequences) -> Float[np.ndarray, "users items"]:
        recent = recency_weights(histories, len(self.tie_breaker), last=self.last, decay=self.decay)
        scores = (recent @ self.matrix).toarray()
        scores += self.tie_breaker
        return scores

    def with_items(self, num_items: int) -> Self:
        """The same floor for a catalogue with more items; it knows nothing about the later ones."""
        grown, later = copy(self), num_items - len(self.tie_breaker)
        rows = np.pad(self.matrix.indptr, (0, later), mode="edge")
        grown.matrix = sparse.csr_array((self.matrix.data, self.matrix.indices, rows), shape=(num_items, num_items))
        grown.tie_breaker = np.pad(self.tie_breaker, (0, later))
        return grown

    def save(self, folder: Path) -> None:
        """Writes what was fitted."""
        parts = {"data": self.matrix.data, "columns": self.matrix.indices, "rows": self.matrix.indptr}
        save_file(parts | {"tie_breaker": self.tie_breaker}, folder / STATE_FILE)

    def restore(self, folder: Path) -> None:
        """Reads what ``save`` wrote."""
        state = load_file(folder / STATE_FILE)
        self.tie_breaker = state["tie_breaker"]
        size = len(self.tie_breaker)
        self.matrix = sparse.csr_array((state["data"], state["columns"], state["rows"]), shape=(size, size))
