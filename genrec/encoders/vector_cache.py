"""Vectors of texts on disk, found by the text's hash; safe to share and to kill."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float


class VectorCache:
    """A folder of parquet files with columns ``text_hash`` and ``vector``; each ``add`` writes a new one, whole or not at all.

    Args:
        folder: of ONE model: vectors of different models must not meet. None: keep them in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._row_of: dict[str, int] = {}
        self._vectors: list[np.ndarray] = []
        for path in sorted(folder.glob("*.parquet")) if folder else ():
            shard = pl.read_parquet(path, glob=False)
            self._remember(shard["text_hash"].to_list(), shard["vector"].to_numpy())

    def __contains__(self, text: str) -> bool:
        return _hash(text) in self._row_of

    def add(self, texts: Sequence[str], vectors: Float[np.ndarray, "texts dim"]) -> None:
        hashes = [_hash(text) for text in texts]
        frame = pl.DataFrame({"text_hash": hashes, "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))})
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]
            temporary = self._folder / f"{name}.{os.getpid()}.tmp"
            frame.write_parquet(temporary)
            temporary.replace(self._folder / f"{name}.parquet")
        self._remember(hashes, vectors)

    def vectors(self, texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
        """The vectors of texts that are all here."""
        rows = [self._row_of[_hash(text)] for text in texts]
        return np.concatenate(self._vectors)[rows]

    def _remember(self, hashes: Sequence[str], vectors: np.ndarray) -> None:
        start = sum(map(len, self._vectors))
        self._row_of.update({text_hash: start + row for row, text_hash in enumerate(hashes)})
        self._vectors.append(np.asarray(vectors, dtype=np.float32))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
