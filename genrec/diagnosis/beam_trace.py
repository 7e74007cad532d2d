"""Where a beam search loses an item that one wanted to see at its end."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from genrec.core.trie import PrefixTrie


class Survival:
    """Watches one item of each user through a beam search; give it to a ``DecodingRequest`` as the observer.

    Args:
        trie: the one that is searched.
        items: [batch] item_idx.
    """

    def __init__(self, trie: PrefixTrie, items: Int64[Tensor, " batch"]) -> None:
        self._path = trie.paths(items)
        self._kept: list[Tensor] = []
        self._first: list[Tensor] = []

    def __call__(self, level: int, nodes: Int64[Tensor, "batch beams"], scores: Float[Tensor, "batch beams"]) -> None:
        """Called after each level with the beams that it left, best first; dead ones have a score of -inf."""
        on_path = (nodes == self._path[:, level + 1, None]) & (scores > float("-inf"))
        self._kept.append(on_path.any(dim=1))
        self._first.append(on_path[:, 0])

    @property
    def watched(self) -> bool:
        """Whether the strategy kept beams at all."""
        return bool(self._kept)

    @property
    def kept(self) -> Bool[Tensor, "batch levels"]:
        """Does a beam stand on the item's prefix after each level?"""
        return torch.stack(self._kept, dim=1)

    @property
    def first(self) -> Bool[Tensor, "batch levels"]:
        """Is that beam the most probable one?"""
        return torch.stack(self._first, dim=1)
