"""Item-based nearest neighbours (Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse

from genrec.baselines.item_to_item import ItemToItem
from genrec.baselines.popularity import tie_breaker
from genrec.dataset import Dataset
from genrec.errors import ConfigError

ROWS_AT_ONCE = 1024  # rows of the similarity matrix computed before they are cut to the nearest neighbours


class ItemKNN(ItemToItem):
    """Cosine similarity of who had an item in training; a history's similarities are added up, recent items weighing more.

    ``score(b | history) = sum over the m-th last items a of decay ** m * co(a, b) / (|a| |b| + shrinkage)``, where ``co``
    counts common users and ``|a|`` is the square root of an item's number of users. An item is not its own neighbour.

    Args:
        neighbours: similarities kept per item, >= 1; bounds the memory.
        last: how many of the most recent items count, >= 1.
        decay: weight of an item relative to the next more recent one, in (0, 1].
        shrinkage: in users, >= 0; larger values trust rare items less.
    """

    def __init__(self, *, neighbours: int = 1000, last: int = 10, decay: float = 0.8, shrinkage: float = 0.0) -> None:
        super().__init__(last=last, decay=decay)
        if neighbours < 1:
            raise ConfigError("neighbours", expected="1 or more", got=neighbours, fix="choose another")
        if shrinkage < 0:
            raise ConfigError("shrinkage", expected="0 or more", got=shrinkage, fix="choose another")
        self.neighbours, self.shrinkage = neighbours, shrinkage

    def fit(self, dataset: Dataset) -> None:
        train = dataset.train
        shape = (dataset.num_users, dataset.num_items)
        owned = sparse.csr_array((np.ones(len(train.item_idx)), (train.user_idx, train.item_idx)), shape=shape)
        owned.sum_duplicates()
        owned.data[:] = 1.0  # an item had twice is an item had
        by_item = owned.T.tocsr()
        norms = np.sqrt(np.diff(by_item.indptr))
        starts = range(0, dataset.num_items, ROWS_AT_ONCE)
        chunks = [self._similar(by_item[start : start + ROWS_AT_ONCE], owned, norms, start) for start in starts]
        self.matrix = sparse.vstack(chunks, format="csr")
        self.tie_breaker = tie_breaker(dataset)

    def _similar(self, rows: sparse.csr_array, owned: sparse.csr_array, norms: np.ndarray, start: int) -> sparse.csr_array:
        found = (rows @ owned).tocoo()
        item, other = found.row + start, found.col
        values = np.where(item == other, 0.0, found.data / (norms[item] * norms[other] + self.shrinkage))
        order = np.lexsort((other, -values, found.row))
        place = np.arange(len(order)) - np.searchsorted(found.row[order], found.row[order])
        kept = order[(place < self.neighbours) & (values[order] > 0)]
        return sparse.csr_array((values[kept], (found.row[kept], other[kept])), shape=found.shape)
