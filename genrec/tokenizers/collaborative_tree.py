"""Collaborative tree: items that users take together share a path, found by clustering the co-occurrence graph again and again.

"Collaborative indexing" of "How to Index Item IDs" (arXiv 2305.06569), on training pairs only. Departures: pairs are counted in
both directions alike; items without a pair inside their cluster are dealt to the clusters that stay smallest; shorter paths are
filled with code 0, so that all IDs are equally long; codes start at 0 below every parent. See docs/methods/item_indexing.md.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.linalg import eigsh

from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.kmeans import kmeans
from genrec.tokenizers.lib.lookup_codes import IssuedCodes, number_within
from genrec.tokenizers.lib.residual import at_least, nearest
from genrec.tokenizers.lib.tree_paths import pair_counts, tree_paths

_DENSE = 400  # below, a dense eigendecomposition is instant


class CollaborativeTree(IssuedCodes):
    """Every item has an ID of its own: the path to its leaf and its number there.

    Args:
        branching: clusters that a node is split into.
        leaf_size: most items of a leaf; larger clusters are split further.
        seed: of the k-means starts.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"train"})
    traits: ClassVar[Traits] = Traits(inductive=False, ordered=True, reconstructs=False, scale_free=True)

    def __init__(self, *, branching: int = 16, leaf_size: int = 256, seed: int = 0) -> None:
        at_least(2, branching=branching)
        at_least(1, leaf_size=leaf_size)
        self.branching, self.leaf_size, self.seed = branching, leaf_size, seed

    def fit(self, inputs: TokenizerInputs) -> None:
        assert inputs.train is not None
        paths = tree_paths(pair_counts(inputs.train, inputs.num_items), self.branching, self.leaf_size, self.seed)
        _, leaf = np.unique(paths, axis=0, return_inverse=True)
        self.issue(inputs, np.column_stack([paths, number_within(leaf.ravel())]))


def split(pairs: sparse.csr_array, branching: int, generator: torch.Generator) -> Int[np.ndarray, " items"]:
    """Spectral clusters of a graph (normalized cut: k-means on the leading eigenvectors, rows of length one)."""
    degree = np.asarray(pairs.sum(axis=1)).ravel()
    linked = np.flatnonzero(degree > 0)
    codes = np.full(len(degree), -1, dtype=np.int64)
    if len(linked) > branching:
        scale = sparse.diags_array(1 / np.sqrt(degree[linked]))
        vectors = torch.from_numpy(leading_eigenvectors((scale @ pairs[linked][:, linked] @ scale).tocsr(), branching))
        vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
        found = nearest(vectors, kmeans(vectors, branching, generator=generator))[0].numpy()
        if len(np.unique(found)) > 1:  # else the graph has no parts: dealt out below
            codes[linked] = found
    alone = np.flatnonzero(codes < 0)
    sizes = np.bincount(codes[codes >= 0], minlength=branching)
    for item in alone:
        codes[item] = sizes.argmin()
        sizes[codes[item]] += 1
    return codes


def leading_eigenvectors(matrix: sparse.csr_array, count: int) -> Float[np.ndarray, "items count"]:
    """Of a symmetric matrix; the same on every run."""
    if matrix.shape[0] <= max(_DENSE, 3 * count):
        return np.linalg.eigh(matrix.toarray())[1][:, ::-1][:, :count].astype(np.float32)
    start = np.random.default_rng(0).standard_normal(matrix.shape[0])
    values, vectors = eigsh(matrix, k=count, which="LA", v0=start, tol=1e-4)
    return vectors[:, np.argsort(-values, kind="stable")].astype(np.float32)
