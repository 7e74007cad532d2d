"""Paths of trees as codes: trees of items that are taken together, and trees of categories."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.linalg import eigsh

from genrec.core.dataset import Sequences
from genrec.errors import ConfigError, did_you_mean
from genrec.tokenizers.lib.kmeans import kmeans
from genrec.tokenizers.lib.residual import nearest

_DENSE = 400  # below, a dense eigendecomposition is instant


def pair_counts(train: Sequences, num_items: int) -> sparse.csr_array:
    """Symmetric [items, items]: how many users took both; the diagonal is zero."""
    user_items = sparse.csr_array(
        (np.ones(len(train.item_idx)), (train.user_idx, train.item_idx)), shape=(len(train), num_items)
    )
    user_items.data[:] = 1.0  # once a user
    pairs = (user_items.T @ user_items).tocsr()
    others = (pairs - sparse.diags_array(pairs.diagonal())).tocsr()
    others.eliminate_zeros()
    return others


def tree_paths(pairs: sparse.csr_array, branching: int, leaf_size: int, seed: int) -> Int[np.ndarray, "items depth"]:
    """Splits every cluster of more than ``leaf_size`` items; the codes of the splits, zeros below a leaf."""
    generator = torch.Generator().manual_seed(seed)
    levels: list[np.ndarray] = []
    waiting = [np.arange(pairs.shape[0])]
    while waiting := [rows for rows in waiting if len(rows) > leaf_size]:
        level, parts = np.zeros(pairs.shape[0], dtype=np.int64), []
        for rows in waiting:
            level[rows] = split(pairs[rows][:, rows], branching, generator)
            parts += [rows[level[rows] == code] for code in range(branching)]
        levels.append(level)
        waiting = parts
    return np.stack(levels, axis=1) if levels else np.zeros((pairs.shape[0], 0), dtype=np.int64)


def cluster_tokens(paths: Int[np.ndarray, "items depth"]) -> Int[np.ndarray, "items depth"]:
    """Numbers the clusters of each depth through, so that no two of them share a code.

    Examples:
        >>> cluster_tokens(np.array([[0, 0], [0, 1], [1, 0], [1, 0]])).tolist()
        [[0, 0], [0, 1], [1, 2], [1, 2]]
    """
    depths = range(1, paths.shape[1] + 1)
    tokens = [np.unique(paths[:, :depth], axis=0, return_inverse=True)[1].ravel() for depth in depths]
    return np.stack(tokens, axis=1) if tokens else paths


def category_paths(items: pl.DataFrame, column: str, depth: int) -> Int[np.ndarray, "items depth"]:
    """``path_codes`` of a column that may not be there, without the levels at which no item has a label."""
    if column not in items.columns:
        fix = did_you_mean(column, items.columns)
        raise ConfigError("tokenizer.column", expected="a column of the items", got=column, fix=fix)
    codes = path_codes(items[column], depth)
    return codes[:, codes.any(axis=0)]


def split(pairs: sparse.csr_array, branching: int, generator: torch.Generator) -> Int[np.ndarray, " items"]:
    """Spectral clusters of a graph (normalized cut: k-means on the leading eigenvectors, rows of length one)."""
    degree = np.asarray(pairs.sum(axis=1)).ravel()
    linked = np.flatnonzero(degree > 0)
    codes = np.full(len(degree), -1, dtype=np.int64)
    if len(linked) > branching:
        scale = sparse.diags_array(1 / np.sqrt(degree[linked]))
        vectors = torch.from_numpy(leading_eigenvectors((scale @ pairs[linked][:, linked] @ scale).tocsr(), branching))
        vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
        clusters = nearest(vectors, kmeans(vectors, branching, generator=generator))[0].numpy()
        if len(np.unique(clusters)) > 1:  # else the graph has no parts: dealt out below
            codes[linked] = clusters
    unassigned = np.flatnonzero(codes < 0)
    sizes = np.bincount(codes[codes >= 0], minlength=branching)
    for item in unassigned:
        codes[item] = sizes.argmin()
        sizes[codes[item]] += 1
    return codes


def leading_eigenvectors(matrix: sparse.csr_array, count: int) -> Float[np.ndarray, "items count"]:
    """Returns the leading eigenvectors of a symmetric matrix; they are the same on every run."""
    if matrix.shape[0] <= max(_DENSE, 3 * count):
        return np.linalg.eigh(matrix.toarray())[1][:, ::-1][:, :count].astype(np.float32)
    start = np.random.default_rng(0).standard_normal(matrix.shape[0])
    values, vectors = eigsh(matrix, k=count, which="LA", v0=start, tol=1e-4)
    return vectors[:, np.argsort(-values, kind="stable")].astype(np.float32)


def path_codes(column: pl.Series, depth: int) -> Int[np.ndarray, "items depth"]:
    """Returns codes of the leading labels: at each depth the most frequent label is 1, the next 2 ...; 0 where there is none.

    Examples:
        >>> path_codes(pl.Series(["All > Shoes > Boots", "All > Shoes", "All > Hats", None]), 2).tolist()
        [[1, 1], [1, 0], [2, 0], [0, 0]]
    """
    if isinstance(column.dtype, pl.List):
        lists = column.cast(pl.List(pl.String)).to_list()
    else:
        lists = column.cast(pl.String).str.replace_all("|", ">", literal=True).str.split(">").to_list()
    paths = [[label.strip() for label in path or [] if label and label.strip()] for path in lists]
    if len({path[0] for path in paths if path}) == 1:
        paths = [path[1:] for path in paths]
    codes = np.zeros((len(paths), depth), dtype=np.int64)
    for depth_index in range(depth):
        labels = np.array([path[depth_index] if depth_index < len(path) else "" for path in paths], dtype=str)
        distinct_labels, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
        rank = np.zeros(len(distinct_labels), dtype=np.int64)
        by_frequency = np.lexsort((distinct_labels, -counts))
        by_frequency = by_frequency[distinct_labels[by_frequency] != ""]
        rank[by_frequency] = np.arange(1, len(by_frequency) + 1)
        codes[:, depth_index] = rank[inverse.ravel()]
    return codes
