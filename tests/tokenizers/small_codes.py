from __future__ import annotations

import numpy as np
import polars as pl

from genrec.protocols import CollisionContext, TokenizerInputs


def make_inputs(vectors: np.ndarray) -> TokenizerInputs:
    items = pl.DataFrame({"item_id": [f"item-{i:04}" for i in range(len(vectors))]})
    return TokenizerInputs({"item": np.asarray(vectors, dtype=np.float32)}, items)


def clustered(num_items: int, dim: int = 12, clusters: int = 9, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centers = random.standard_normal((clusters, dim)) * 3
    return (centers[random.integers(clusters, size=num_items)] + random.standard_normal((num_items, dim))).astype(np.float32)


def make_context(num_items: int, costs: np.ndarray | None = None, counts: np.ndarray | None = None) -> CollisionContext:
    """``costs`` [items, size]: last-level costs that do not depend on the prefix."""
    return CollisionContext(
        item_ids=pl.Series([f"item-{i:04}" for i in range(num_items)]),
        train_counts=np.zeros(num_items, np.int64) if counts is None else counts,
        costs=None if costs is None else (lambda rows, prefix: costs[rows]),
        codebooks="books",
    )
