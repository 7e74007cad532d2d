"""The prefixes of a catalogue's codes: which items share one, and how many."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def prefix_groups(codes: Int[np.ndarray, "items levels"]) -> list[Int[np.ndarray, " items"]]:
    """The number of each item's group of equal prefixes, for one leading level, two ...; groups stand in the order of codes.

    Examples:
        >>> [group.tolist() for group in prefix_groups(np.array([[1, 0], [0, 5], [1, 0], [1, 7]]))]
        [[1, 0, 1, 1], [1, 0, 1, 2]]
    """
    groups, group = [], np.zeros(len(codes), dtype=np.int64)
    for level in range(codes.shape[1]):
        _, group = np.unique(group * (int(codes[:, level].max(initial=0)) + 1) + codes[:, level], return_inverse=True)
        groups.append(group)
    return groups


def collisions(sizes: Int[np.ndarray, " groups"]) -> dict[str, int]:
    """Of the sizes of groups of items with equal codes: how many hold several, the largest, and how many items are in one.

    Examples:
        >>> collisions(np.array([1, 3, 2, 1]))
        {'groups': 2, 'items': 5, 'largest': 3}
    """
    shared = sizes[sizes > 1]
    return {"groups": len(shared), "items": int(shared.sum()), "largest": int(sizes.max(initial=0))}
