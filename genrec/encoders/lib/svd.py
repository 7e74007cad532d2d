"""Deterministic truncated SVD: iterated to convergence from a fixed start vector, with a rule for signs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import svds

# Lanczos is faster only when few of the components are needed; below this size a dense SVD takes no time.
_DENSE_LIMIT = 400


def truncated_svd(
    matrix: sparse.csr_array, dim: int
) -> tuple[Float[np.ndarray, "rows dim"], Float[np.ndarray, " dim"], Float[np.ndarray, "dim columns"]]:
    """The ``dim`` largest singular triplets, largest first (fewer when the matrix is smaller than ``dim``).

    Iterated to convergence rather than sketched, so that the result does not depend on the order of the rows; the sign of
    each component makes its largest entry on the right side positive.
    """
    dim = min(dim, *matrix.shape)
    if min(matrix.shape) <= max(_DENSE_LIMIT, 2 * dim) or matrix.nnz == 0:
        left, values, right = np.linalg.svd(matrix.toarray(), full_matrices=False)
    else:
        start = np.random.default_rng(0).standard_normal(min(matrix.shape))
        left, values, right = svds(matrix, k=dim, v0=start)
    best = np.argsort(-values, kind="stable")[:dim]
    left, values, right = left[:, best], values[best], right[best]
    signs = np.sign(right[np.arange(len(right)), np.abs(right).argmax(axis=1)])
    signs[signs == 0] = 1.0
    return left * signs, values, right * signs[:, None]
