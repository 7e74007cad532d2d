"""Sequential codes: items numbered as users meet them, so that items of one history get neighbouring IDs.

"Sequential indexing" of "How to Index Item IDs" (arXiv 2305.06569), on the training part only: numbered over whole sequences,
test items stand beside their histories and leak. Items that no training history holds are numbered last, in the order of the
catalogue. Numbers are written as digits of one base instead of as text. See docs/methods/item_indexing.md.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.lookup_codes import LookupCodes, digits
from genrec.tokenizers.lib.residual import at_least


class Sequential(LookupCodes):
    """Every item has an ID of its own; the leading levels are shared by items that were first seen close together.

    Args:
        codebook_size: base of the digits; the largest number decides how many levels there are.
        seed: of the order in which users are walked through.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"train"})
    traits: ClassVar[Traits] = Traits(inductive=False, ordered=True, reconstructs=False, scale_free=True)

    def __init__(self, *, codebook_size: int = 256, seed: int = 0) -> None:
        at_least(2, codebook_size=codebook_size)
        self.codebook_size, self.seed = codebook_size, seed

    def fit(self, inputs: TokenizerInputs) -> None:
        assert inputs.train is not None
        walk = np.random.default_rng(self.seed).permutation(len(inputs.train))
        seen = [np.asarray(inputs.train[user], np.int64) for user in walk]
        met, first = np.unique(np.concatenate([*seen, np.arange(inputs.num_items)]), return_index=True)
        number = np.empty(inputs.num_items, dtype=np.int64)
        number[met[np.argsort(first)]] = np.arange(inputs.num_items)
        self.issue(inputs, digits(number, self.codebook_size))
