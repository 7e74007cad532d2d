"""What an item head makes of the children of trie nodes: the teacher of ``sid_cross_entropy``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from genrec.core.trie import PrefixTrie


class ChildrenShares:
    """What an item head makes of the children along each target's path: level by level, shares of the softmax over all items.

    It looks on while ``mean_log_normalizer`` goes over the head's softmax, whose table is in the order of ``trie.items``.

    Args:
        trie: of the items.
        path: nodes from the root to each target's leaf.
    """

    def __init__(self, trie: PrefixTrie, path: Int64[Tensor, "targets levels_and_1"]) -> None:
        self.trie, self._ahead = trie, path
        self._blocks: list[list[Tensor]] = []

    @torch.no_grad()
    def __call__(self, weights: Float[Tensor, "items block"]) -> None:
        """The next targets' weights, up to a factor of each target."""
        trie, shares = self.trie, []
        path, self._ahead = self._ahead[: weights.shape[1]], self._ahead[weights.shape[1] :]
        for level, below in enumerate(trie.sums_below(weights)):
            child, _, real = trie.children(path[:, level], level)
            mass = below.gather(0, (child - trie.level_starts[level + 1]).T).T.masked_fill(~real, 0.0)
            total = mass.sum(1, keepdim=True)  # 0 where the head rules all of them out: then they share evenly
            shares.append(torch.where(total > 0, mass, real.float()) / torch.where(total > 0, total, real.sum(1, keepdim=True)))
        self._blocks.append(shares)

    def levels(self) -> list[Float[Tensor, "targets _"]]:
        """Per level, a distribution over the family of the path's node, 0 where the family is padded."""
        return [_joined(level) for level in zip(*self._blocks, strict=True)]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Families of several blocks, padded to the widest."""
    width = max(part.shape[1] for part in parts)
    return torch.cat([F.pad(part, (0, width - part.shape[1])) for part in parts])
