"""Hybrid index: the path of a tree says what an item is like, one token of its own says which item it is.

The best of "How to Index Item IDs" (arXiv 2305.06569): collaborative or category path plus an independent token per item. The
token replaces the number inside the leaf, so the last level is as large as the catalogue. See docs/methods/item_indexing.md.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.lookup_codes import LookupCodes
from genrec.tokenizers.lib.residual import at_least
from genrec.tokenizers.lib.tree_paths import category_paths, cluster_tokens, pair_counts, tree_paths


class HybridIndex(LookupCodes):
    """A tree's path and a token per item.

    Args:
        tree: ``collaborative`` (what training users take together) or ``category`` (a column of the catalogue).
        branching: of the collaborative tree: clusters that a node is split into.
        leaf_size: of the collaborative tree: most items of a leaf.
        num_levels: of the category tree: labels of the path that are kept.
        column: of the category tree: where the paths stand.
        token_per_cluster: number the clusters of a level through, so that no two of them share a vector.
        seed: of the collaborative tree's k-means starts.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"train"})
    traits: ClassVar[Traits] = Traits(inductive=False, ordered=True, reconstructs=False, scale_free=True)

    def __init__(
        self,
        *,
        tree: Literal["collaborative", "category"] = "collaborative",
        branching: int = 16,
        leaf_size: int = 256,
        num_levels: int = 3,
        column: str = "categories",
        token_per_cluster: bool = False,
        seed: int = 0,
    ) -> None:
        at_least(2, branching=branching)
        at_least(1, leaf_size=leaf_size, num_levels=num_levels)
        self.tree, self.branching, self.leaf_size = tree, branching, leaf_size
        self.num_levels, self.column, self.token_per_cluster, self.seed = num_levels, column, token_per_cluster, seed

    def fit(self, inputs: TokenizerInputs) -> None:
        """Issues the codes.

        Raises:
            ConfigError: when the category tree finds no such column.
        """
        paths = self._paths(inputs)
        tokens = cluster_tokens(paths) if self.token_per_cluster else paths
        self.issue(inputs, np.column_stack([tokens, np.arange(inputs.num_items)]))

    def _paths(self, inputs: TokenizerInputs) -> np.ndarray:
        if self.tree == "collaborative":
            assert inputs.train is not None
            return tree_paths(pair_counts(inputs.train, inputs.num_items), self.branching, self.leaf_size, self.seed)
        return category_paths(inputs.items, self.column, self.num_levels)
