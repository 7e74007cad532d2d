"""Vectors of items on disk: what an encoder artifact holds, and the same files in a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import save_file
from safetensors.torch import load_file

from genrec.protocols import ItemEncoder, NamedEncoder

JOINT = "item"  # the encoder's own output; an encoder of several sources names those beside it
TEXT = "text"  # the source of an encoder that reads texts, where it has several
FITTED, VECTORS = "fitted", "vectors"  # folders


def encode_items(encoder: ItemEncoder, items: pl.DataFrame) -> dict[str, np.ndarray]:
    """Returns source -> float32 [items, dim] by a fitted encoder."""
    return dict(encoder.encode_named(items)) if isinstance(encoder, NamedEncoder) else {JOINT: encoder.encode(items)}


def read_vectors(folder: Path) -> dict[str, np.ndarray]:
    """Returns source -> float32 [items, dim], mapped from disk until they are looked at; row number == item_idx.

    Args:
        folder: an ``encoder`` artifact, or its files in a bundle.
    """
    return {path.stem: load_file(path)[VECTORS].numpy() for path in sorted((folder / VECTORS).glob("*.safetensors"))}


def write_vectors(folder: Path, vectors: Mapping[str, np.ndarray]) -> None:
    """Writes ``vectors/<source>.safetensors`` for ``read_vectors``.

    Args:
        folder: of the ``encoder`` artifact; it has no vectors yet.
        vectors: source -> [items, dim].
    """
    (folder / VECTORS).mkdir()
    for name, rows in vectors.items():
        save_file({VECTORS: np.ascontiguousarray(rows, dtype=np.float32)}, folder / VECTORS / f"{name}.safetensors")


def text_of(vectors: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the vectors of the items' texts: of the source of that name, or of the only one."""
    return vectors.get(TEXT, vectors[JOINT])
