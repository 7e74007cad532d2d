"""Nearest items by the encoder's vectors: what looks like the items this user had last.

Own design: see docs/methods/linear_baselines.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float

from genrec.baselines.lib.item_to_item import ItemToItem
from genrec.core.dataset import Dataset
from genrec.errors import ConfigError

ROWS_AT_ONCE = 512  # rows of the cosine matrix computed before they are cut to the nearest neighbours


class VectorNeighbours(ItemToItem):
    """An item's nearest neighbours by cosine, each weighing ``exp((cosine - 1) / temperature)``; new items have some, too.

    The vectors are the joint ones of the ``encoder`` group: content, and whatever else that encoder joins to it. A setting that
    is null is chosen on validation.

    Args:
        item_vectors: float [items, dim]; needed by ``fit`` only.
        neighbours: kept per item, >= 1; bounds the memory. An item is not its own neighbour.
        temperature: of the cosines, > 0: small values trust the very nearest only.
        last: how many of the most recent items count, >= 1.
        decay: weight of an item relative to the next more recent one, in (0, 1].
    """

    needs: ClassVar[frozenset[str]] = frozenset({"encoder"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "temperature": (0.1, 0.05, 0.2),
        "decay": (0.8, 0.6, 0.4, 0.95),
        "last": (10, 3, 20),
    }

    temperature: float

    def __init__(
        self,
        *,
        item_vectors: Float[np.ndarray, "items dim"] | None = None,
        neighbours: int = 200,
        temperature: float | None = 0.1,
        last: int | None = 10,
        decay: float | None = 0.8,
    ) -> None:
        super().__init__(last=last, decay=decay)
        self.settle(temperature=temperature)
        if neighbours < 1:
            raise ConfigError("neighbours", expected="1 or more", got=neighbours, fix="choose another")
        if not self.temperature > 0:
            raise ConfigError("temperature", expected="more than 0", got=temperature, fix="choose another")
        self.item_vectors, self.neighbours = item_vectors, neighbours

    def count(self, dataset: Dataset) -> None:
        if self.item_vectors is None:
            fix = "use it as a scorer of decoding=fusion, where the run's encoder gives them"
            raise ConfigError("item_vectors", expected="vectors of the items", got="none", fix=fix)
        vectors = np.asarray(self.item_vectors, dtype=np.float64)
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        starts = range(0, len(unit), ROWS_AT_ONCE)
        self.cosines = sparse.vstack([self._nearest(unit, start) for start in starts], format="csr")

    def weighted(self) -> sparse.csr_array:
        weights = np.exp((self.cosines.data - 1) / self.temperature)
        return sparse.csr_array((weights, self.cosines.indices, self.cosines.indptr), shape=self.cosines.shape)

    def _nearest(self, unit: Float[np.ndarray, "items dim"], start: int) -> sparse.csr_array:
        cosine = unit[start : start + ROWS_AT_ONCE] @ unit.T
        rows = np.arange(len(cosine))[:, None]
        cosine[rows[:, 0], rows[:, 0] + start] = -np.inf
        num_kept = min(self.neighbours, len(unit) - 1)
        columns = (
            np.argpartition(-cosine, num_kept - 1, axis=1)[:, :num_kept]
            if num_kept
            else np.empty((len(cosine), 0), dtype=np.int64)
        )
        cells = (np.repeat(rows, num_kept, axis=1).ravel(), columns.ravel())
        return sparse.csr_array((cosine[rows, columns].ravel(), cells), shape=cosine.shape)
