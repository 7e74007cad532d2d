"""Collaborative tree: items that users take together share a path, found by clustering the co-occurrence graph again and again.

"Collaborative indexing" of "How to Index Item IDs" (arXiv 2305.06569), on training pairs only. Departures: pairs are counted in
both directions alike; items without a pair inside their cluster are dealt to the clusters that stay smallest; shorter paths are
filled with code 0, so that all IDs are equally long. See docs/methods/item_indexing.md.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.lookup_codes import LookupCodes, number_within
from genrec.tokenizers.lib.residual import at_least
from genrec.tokenizers.lib.tree_paths import cluster_tokens, pair_counts, tree_paths


class CollaborativeTree(LookupCodes):
    """Every item has an ID of its own: the path to its leaf and its number there.

    Args:
        branching: clusters that a node is split into.
        leaf_size: most items of a leaf; larger clusters are split further.
        token_per_cluster: number the clusters of a level through, as one of the authors' methods does; else codes start at 0
            below every parent, and clusters of equal number share a vector.
        seed: of the k-means starts.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"train"})
    traits: ClassVar[Traits] = Traits(inductive=False, ordered=True, reconstructs=False, scale_free=True)

    def __init__(self, *, branching: int = 16, leaf_size: int = 256, token_per_cluster: bool = False, seed: int = 0) -> None:
        at_least(2, branching=branching)
        at_least(1, leaf_size=leaf_size)
        self.branching, self.leaf_size, self.token_per_cluster, self.seed = branching, leaf_size, token_per_cluster, seed

    def fit(self, inputs: TokenizerInputs) -> None:
        assert inputs.train is not None
        paths = tree_paths(pair_counts(inputs.train, inputs.num_items), self.branching, self.leaf_size, self.seed)
        _, leaf = np.unique(paths, axis=0, return_inverse=True)
        tokens = cluster_tokens(paths) if self.token_per_cluster else paths
        self.issue(inputs, np.column_stack([tokens, number_within(leaf.ravel())]))
