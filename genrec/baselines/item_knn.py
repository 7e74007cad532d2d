"""Item-based nearest neighbours (Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001).

See docs/methods/counting_baselines.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sparse

from genrec.baselines.lib.item_to_item import ItemToItem
from genrec.core.dataset import Dataset
from genrec.errors import ConfigError

ROWS_AT_ONCE = 1024  # rows of the similarity matrix computed before they are cut to the nearest neighbours


class ItemKNN(ItemToItem):
    """Cosine similarity of who had an item in training; a history's similarities are added up, recent items weighing more.

    ``score(b | history) = sum over the m-th last items a of decay ** m * co(a, b) / (|a| |b| + shrinkage)``, where ``co``
    counts common users and ``|a|`` is the square root of an item's number of users. An item is not its own neighbour.
    A setting that is null is chosen on validation.

    Args:
        neighbours: similarities kept per item, >= 1; bounds the memory.
        last: how many of the most recent items count, >= 1.
        decay: weight of an item relative to the next more recent one, in (0, 1].
        shrinkage: in users, >= 0; larger values trust rare items less.
    """

    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "decay": (0.8, 0.6, 0.4, 0.95),
        "shrinkage": (0.0, 3.0, 10.0),
        "last": (10, 3, 20),
    }

    shrinkage: float

    def __init__(
        self,
        *,
        neighbours: int = 1000,
        last: int | None = 10,
        decay: float | None = 0.8,
        shrinkage: float | None = 0.0,
    ) -> None:
        super().__init__(last=last, decay=decay)
        self.settle(shrinkage=shrinkage)
        if neighbours < 1:
            raise ConfigError("neighbours", expected="1 or more", got=neighbours, fix="choose another")
        if self.shrinkage < 0:
            raise ConfigError("shrinkage", expected="0 or more", got=shrinkage, fix="choose another")
        self.neighbours = neighbours

    def count(self, dataset: Dataset) -> None:
        train = dataset.train
        shape = (dataset.num_users, dataset.num_items)
        owned = sparse.csr_array((np.ones(len(train.item_idx)), (train.user_idx, train.item_idx)), shape=shape)
        owned.sum_duplicates()
        owned.data[:] = 1.0  # an item had twice is an item had
        self.owned, self.by_item = owned, owned.T.tocsr()
        self.matrices: dict[float, sparse.csr_array] = {}  # by shrinkage; shared by copies with other settings

    def weighted(self) -> sparse.csr_array:
        if self.shrinkage not in self.matrices:
            norms = np.sqrt(np.diff(self.by_item.indptr))
            starts = range(0, self.by_item.shape[0], ROWS_AT_ONCE)
            chunks = [self._similar(self.by_item[start : start + ROWS_AT_ONCE], norms, start) for start in starts]
            self.matrices[self.shrinkage] = sparse.vstack(chunks, format="csr")
        return self.matrices[self.shrinkage]

    def _similar(self, rows: sparse.csr_array, norms: np.ndarray, start: int) -> sparse.csr_array:
        common = (rows @ self.owned).tocsr()
        common.sort_indices()
        row, other = np.repeat(np.arange(common.shape[0]), np.diff(common.indptr)), common.indices
        values = common.data / (norms[row + start] * norms[other] + self.shrinkage)
        values[row + start == other] = 0.0
        near = values > 0
        for long in np.flatnonzero(np.diff(common.indptr) > self.neighbours):
            row_entries = slice(common.indptr[long], common.indptr[long + 1])
            near[row_entries] &= _largest(values[row_entries], self.neighbours)
        return sparse.csr_array((values[near], (row[near], other[near])), shape=common.shape)


def _largest(values: np.ndarray, number: int) -> np.ndarray:
    """Returns a mask of the ``number`` largest; of equal ones the first."""
    least = np.partition(values, len(values) - number)[len(values) - number]
    chosen = values > least
    chosen[np.flatnonzero(values == least)[: number - int(chosen.sum())]] = True
    return chosen
