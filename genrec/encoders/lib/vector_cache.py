"""A cache of vectors on disk, by the hash of the text or image and the identity of the pretrained model.

Several processes may share it, and a killed process leaves no damaged file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float

from genrec.references import expand_path


def model_identity(model: str, revision: str | None) -> str:
    """Returns the content hash of a local folder, or a hash of hub id and revision; the cache has one folder for each."""
    digest, folder = hashlib.sha256(), expand_path(model)
    if folder.is_dir():
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(str(path.relative_to(folder)).encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    else:
        digest.update(json.dumps([model, revision]).encode())
    return digest.hexdigest()[:16]


def is_model_of(state: Mapping[str, Any], model: str, revision: str | None) -> bool:
    """Whether this model made the vectors that an encoder was saved with.

    A hub model that is now given as a local folder cannot be verified by its contents; it is accepted.

    Args:
        state: ``model``, ``revision`` and ``identity`` as they were.
        model: a folder or hub id.
        revision: of a hub model.
    """
    came_from_hub = state["identity"] == _hub_identity(str(state["model"]), state.get("revision"))
    return model_identity(model, revision) == state["identity"] or (came_from_hub and expand_path(model).is_dir())


def _hub_identity(model: str, revision: str | None) -> str:
    return hashlib.sha256(json.dumps([model, revision]).encode()).hexdigest()[:16]


class VectorCache:
    """A folder of parquet files with columns ``text_hash`` and ``vector``; each ``add`` writes a new one, whole or not at all.

    Args:
        folder: of ONE model, so that vectors of different models are never mixed. None: keep vectors in memory.
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
        """Returns the vectors of texts that are all in the cache."""
        rows = [self._row_of[_hash(text)] for text in texts]
        return np.concatenate(self._vectors)[rows]

    def _remember(self, hashes: Sequence[str], vectors: np.ndarray) -> None:
        start = sum(map(len, self._vectors))
        self._row_of.update({text_hash: start + row for row, text_hash in enumerate(hashes)})
        self._vectors.append(np.asarray(vectors, dtype=np.float32))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
