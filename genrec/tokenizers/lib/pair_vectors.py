"""Vectors of items from their pair counts: positive pointwise mutual information, factorized."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import sparse

from genrec.tokenizers.lib.tree_paths import leading_eigenvectors


def ppmi_vectors(pairs: sparse.csr_array, dim: int) -> Float[np.ndarray, "items dim"]:
    """Returns vectors whose products come close to ``max(0, log(A_ab T / (A_a A_b)))``; an item without pairs has zeros.

    Args:
        pairs: symmetric counts ``A`` with the sum ``T``.
        dim: most dimensions; a small catalogue has fewer.
    """
    entries = pairs.tocoo()
    row, column = entries.coords
    marginal = np.asarray(pairs.sum(axis=1)).ravel()
    # The quotients are grouped so that swapping a and b gives the same floats: the matrix stays exactly symmetric.
    information = np.maximum(np.log(entries.data * pairs.sum() / (marginal[row] * marginal[column])), 0.0)
    matrix = sparse.coo_array((information, (row, column)), shape=pairs.shape).tocsr()
    vectors = leading_eigenvectors(matrix, min(dim, pairs.shape[0]))
    values = np.einsum("id,id->d", vectors, matrix @ vectors)
    scaled = vectors * np.sqrt(np.maximum(values, 0.0))
    scaled[marginal == 0] = 0.0  # rounding errors
    return scaled.astype(np.float32)
