"""TODO."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from jaxtyping import Int
from scipy import sparse

from genrec.core.dataset import Sequences
from genrec.errors import ConfigError, did_you_mean


def pair_counts(train: Sequences, num_items: int) -> sparse.csr_array:
    """Symmetric [items, items]: how many users took both; the diagonal is zero."""
    taken = sparse.csr_array((np.ones(len(train.item_idx)), (train.user_idx, train.item_idx)), shape=(len(train), num_items))
    taken.data[:] = 1.0  # once a user
    pairs = (taken.T @ taken).tocsr()
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


def category_paths(items: pl.DataFrame, column: str, depth: int) -> Int[np.ndarray, "items depth"]:
    """``path_codes`` of a column that may not be there, without the levels at which no item has a label."""
    if column not in items.columns:
        fix = did_you_mean(column, items.columns)
        raise ConfigError("tokenizer.column", expected="a column of the items", got=column, fix=fix)
    codes = path_codes(items[column], depth)
    return codes[:, codes.any(axis=0)]
