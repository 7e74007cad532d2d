"""Principal components of the items' vectors."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def principal_axes(
    vectors: Float[np.ndarray, "items width"], dim: int, *, whiten: bool
) -> tuple[Float[np.ndarray, " width"], Float[np.ndarray, "width components"]]:
    """Returns the mean, and what a centred vector is multiplied with.

    Args:
        vectors: of the items.
        dim: components at most.
        whiten: bring each component to mean square 1; else all together, so that they keep their proportions.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    mean = vectors.mean(0)
    centred = vectors - mean
    squares, axes = np.linalg.eigh(centred.T @ centred / len(vectors))
    squares, axes = np.maximum(squares[::-1][:dim], 0), axes[:, ::-1][:, :dim]
    if not whiten:
        squares = np.full_like(squares, squares.mean())
    # A direction without any spread stays empty; the largest one says what counts as none.
    scale = np.where(squares > 1e-6 * squares.max(initial=0), 1 / np.sqrt(np.maximum(squares, 1e-30)), 0)
    return mean, (axes * scale).astype(np.float32)
