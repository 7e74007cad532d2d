"""Category tree: the ID is the item's category path and a number inside it.

"Category indexing" of "How to Index Item IDs" (arXiv 2305.06569). Departures: all paths are equally long (longer ones are cut,
shorter ones filled with code 0, "no label"), and a label has the same code under every parent. See
docs/methods/item_indexing.md.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Int

from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.lookup_codes import LookupCodes, digits, number_within
from genrec.tokenizers.lib.residual import at_least
from genrec.tokenizers.lib.tree_paths import category_paths


class CategoryTree(LookupCodes):
    """Every item has an ID of its own; items without categories share the path of zeros.

    Args:
        num_levels: labels of the path that are kept, the root that all items share aside.
        leaf_size: base of the digits that number the items of a path; a path with more items needs one more level.
        column: of the catalogue, with paths written ``A > B > C`` or ``A|B|C``, or as lists.
        seed: of the order in which items are numbered; the catalogue's order would carry time.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    traits: ClassVar[Traits] = Traits(inductive=False, ordered=True, reconstructs=False, scale_free=True)

    def __init__(self, *, num_levels: int = 3, leaf_size: int = 256, column: str = "categories", seed: int = 0) -> None:
        at_least(1, num_levels=num_levels)
        at_least(2, leaf_size=leaf_size)
        self.num_levels, self.leaf_size, self.column, self.seed = num_levels, leaf_size, column, seed

    def fit(self, inputs: TokenizerInputs) -> None:
        """Issues the codes.

        Raises:
            ConfigError: when the catalogue has no such column.
        """
        paths = category_paths(inputs.items, self.column, self.num_levels)
        self.issue(inputs, np.column_stack([paths, self._numbers(paths)]))

    def _numbers(self, paths: Int[np.ndarray, "items levels"]) -> Int[np.ndarray, "items digits"]:
        _, group = np.unique(paths, axis=0, return_inverse=True)
        shuffled = np.random.default_rng(self.seed).permutation(len(paths))
        number = np.empty(len(paths), dtype=np.int64)
        number[shuffled] = number_within(group.ravel()[shuffled])
        return digits(number, self.leaf_size)
