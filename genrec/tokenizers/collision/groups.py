"""What every collision policy starts from: who shares codes with whom, and in which order items are served."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from genrec.protocols import CollisionContext


def group_of_rows(codes: Int[np.ndarray, "items levels"]) -> Int[np.ndarray, " items"]:
    """Number of each row's group of equal rows; groups are numbered in lexicographic order of their codes."""
    return np.unique(codes, axis=0, return_inverse=True)[1].ravel()


def canonical_order(context: CollisionContext) -> Int[np.ndarray, " items"]:
    """Rows by falling training popularity, then by ``item_id``: the same order however the catalogue's rows are shuffled."""
    return np.lexsort((context.item_ids.to_numpy().astype(str), -np.asarray(context.train_counts)))
