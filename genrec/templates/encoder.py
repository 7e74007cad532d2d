"""mine: hashed words. Change it into your encoder; the contract suite says when it is one."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl

from genrec.core.dataset import Sequences


class Mine:
    """The mean of random vectors, one for each word of a column. Nothing is learned.

    Args:
        column: of the items.
        dim: length of the vectors.
    """

    def __init__(self, *, column: str = "title", dim: int = 64) -> None:
        self.column, self.dim = column, dim

    def fit(self, items: pl.DataFrame, train: Sequences) -> None:
        """Learns nothing; an encoder may learn from the catalogue and from the training events, never from later ones."""

    def encode(self, items: pl.DataFrame) -> np.ndarray:
        """Returns float32 [items, dim], also for items that came later; zeros where there is no text."""
        rows = [[_word_vector(word, self.dim) for word in (text or "").lower().split()] for text in items[self.column]]
        zeros = np.zeros(self.dim, np.float32)
        return np.stack([np.mean(words, axis=0) if words else zeros for words in rows]).astype(np.float32)

    def present(self, items: pl.DataFrame) -> np.ndarray:
        """Returns which items have a text."""
        return items[self.column].fill_null("").str.contains(r"\S").to_numpy()

    def save(self, folder: Path) -> None:
        """Writes what ``fit`` learned: nothing here."""

    def restore(self, folder: Path) -> None:
        """Reads what ``save`` wrote."""


@cache
def _word_vector(word: str, dim: int) -> np.ndarray:
    seed = int.from_bytes(sha256(word.encode()).digest()[:8])
    return np.random.default_rng(seed).standard_normal(dim)
