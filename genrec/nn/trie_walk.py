"""Where beams stand in the trie, for generators whose logits depend on which items a prefix leaves."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.trie import PrefixTrie
from genrec.types import PAD

NO_ITEM = -1e4  # the logit of a code that no item has: its probability is zero in any precision, and differences stay numbers


class TrieWalk:
    """The trie, on whatever device it is asked about; ``PAD`` is the place of a prefix that no item has.

    Args:
        trie: of the catalogue.
    """

    def __init__(self, trie: PrefixTrie) -> None:
        self.trie = trie

    def of(self, device: torch.device) -> PrefixTrie:
        """The trie on ``device``."""
        if self.trie.device != device:
            self.trie = self.trie.to(device)
        return self.trie

    def advance(self, nodes: Int64[Tensor, "*shape"], codes: Int64[Tensor, "*shape"], level: int) -> Int64[Tensor, "*shape"]:
        """From nodes of depth ``level`` to their children along ``codes``."""
        return torch.where(nodes == PAD, PAD, self.of(nodes.device).advance(nodes.clamp(min=0), codes, level))

    def children(
        self, nodes: Int64[Tensor, "*shape"], level: int
    ) -> tuple[Int64[Tensor, "*shape width"], Int64[Tensor, "*shape width"]]:
        """The children of nodes of depth ``level``, and the places of their codes: behind the last code where padded."""
        trie = self.of(nodes.device)
        child, codes, real = trie.children(nodes.clamp(min=0), level)
        return child, torch.where(real & (nodes != PAD).unsqueeze(-1), codes, trie.sizes[level])


def placed(
    values: Float[Tensor, "*shape width"], places: Int64[Tensor, "*shape width"], size: int
) -> Float[Tensor, "*shape size"]:
    """Children's logits at the places of their codes, ``NO_ITEM`` elsewhere."""
    logits = values.new_full((*values.shape[:-1], size + 1), NO_ITEM)
    return logits.scatter(-1, places, values)[..., :size]
