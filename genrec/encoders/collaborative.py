"""Item vectors from what users took together: shifted PPMI of windowed co-occurrence, factorized.

The sparse matrix view of skip-gram (shifted positive pointwise mutual information). Sources and settings:
docs/methods/collaborative_vectors.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from safetensors.numpy import load_file, save_file
from scipy import sparse

from genrec.core.dataset import Sequences
from genrec.encoders.lib.svd import truncated_svd
from genrec.types import ITEM_ID


class Collaborative:
    """PPMI-SVD vectors of the training sequences.

    ``fit`` receives the training part only, so no validation or test event can leak in. Items without a training event get zero
    vectors, and ``present`` is False for them.

    Args:
        dim: length of the vectors (fewer for a catalogue smaller than that).
        window: two events of a user count as a pair up to this distance, with weight 1 / distance.
        shift: k of the shifted PPMI, ``max(0, log(A_ab T / (A_a A_b)) - log k)``; larger keeps only stronger pairs.
        prior_count: number of training events at which the vector and a prediction from other sources have equal weight.
    """

    def __init__(self, *, dim: int = 64, window: int = 5, shift: float = 1.0, prior_count: float = 5.0) -> None:
        self.dim, self.window, self.shift, self.prior_count = dim, window, shift, prior_count

    def fit(self, items: pl.DataFrame, train: Sequences) -> None:
        pairs = cooccurrence(train, items.height, self.window)
        left, values, _ = truncated_svd(shifted_ppmi(pairs, self.shift), self.dim)
        self._counts = np.bincount(train.item_idx, minlength=items.height).astype(np.int64)
        self._vectors = (left * np.sqrt(values)).astype(np.float32)
        self._vectors[self._counts == 0] = 0.0  # the iteration may leave rounding errors there
        self._row_of = {item: row for row, item in enumerate(items[ITEM_ID])}

    def encode(self, items: pl.DataFrame) -> Float[np.ndarray, "items dim"]:
        rows, is_fitted = self._rows(items)
        return np.where(is_fitted[:, None], self._vectors[rows], np.float32(0))

    def present(self, items: pl.DataFrame) -> Bool[np.ndarray, " items"]:
        return self._count(items) > 0

    def confidence(self, items: pl.DataFrame) -> Float[np.ndarray, " items"]:
        """Returns ``n / (n + prior_count)`` for ``n`` training events: the weight of the vector when sources are joined."""
        count = self._count(items)
        return (count / (count + self.prior_count)).astype(np.float32)

    def save(self, folder: Path) -> None:
        pl.DataFrame({ITEM_ID: list(self._row_of), "train_count": self._counts}).write_parquet(folder / "items.parquet")
        save_file({"vectors": np.ascontiguousarray(self._vectors)}, folder / "ppmi_svd.safetensors")

    def restore(self, folder: Path) -> None:
        items = pl.read_parquet(folder / "items.parquet", glob=False)
        self._row_of = {item: row for row, item in enumerate(items[ITEM_ID])}
        self._counts = items["train_count"].to_numpy()
        self._vectors = load_file(folder / "ppmi_svd.safetensors")["vectors"]

    def _rows(self, items: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Returns the row of each item in the fitted catalogue (0 where it is absent), and whether it is there."""
        rows = np.array([self._row_of.get(item, -1) for item in items[ITEM_ID]], dtype=np.int64)
        return np.maximum(rows, 0), rows >= 0

    def _count(self, items: pl.DataFrame) -> np.ndarray:
        rows, is_fitted = self._rows(items)
        return np.where(is_fitted, self._counts[rows], 0)


def cooccurrence(sequences: Sequences, num_items: int, window: int) -> sparse.csr_array:
    """Symmetric [items, items]: sum of 1 / distance over pairs of a user's events at most ``window`` apart.

    Pairs of an item with itself (repeats) are not counted, since they relate no two items.
    """
    events, owner = np.asarray(sequences.item_idx), sequences.user_idx
    total = sparse.csr_array((num_items, num_items), dtype=np.float64)
    for distance in range(1, min(window, len(events) - 1) + 1):
        first, second = events[:-distance], events[distance:]
        is_pair = (owner[:-distance] == owner[distance:]) & (first != second)
        weight = np.full(int(is_pair.sum()), 1.0 / distance)
        total = total + sparse.coo_array((weight, (first[is_pair], second[is_pair])), shape=total.shape).tocsr()
    return (total + total.T).tocsr()


def shifted_ppmi(pairs: sparse.csr_array, shift: float) -> sparse.csr_array:
    """``max(0, log(A_ab T / (A_a A_b)) - log shift)`` on the non-zero entries of ``A``; T is the sum of ``A``."""
    entries = pairs.tocoo()
    row, column = entries.coords
    marginal = np.asarray(pairs.sum(axis=1)).ravel()
    # The quotients are grouped so that swapping a and b gives the same floats: the matrix stays exactly symmetric.
    information = np.log(entries.data * pairs.sum() / (marginal[row] * marginal[column])) - np.log(shift)
    is_positive = information > 0
    return sparse.coo_array((information[is_positive], (row[is_positive], column[is_positive])), shape=pairs.shape).tocsr()
