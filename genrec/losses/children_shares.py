"""What an item head makes of the children of trie nodes: the teacher of ``sid_cross_entropy``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from genrec.nn.log_normalizer import BLOCK
from genrec.trie import PrefixTrie


@torch.no_grad()
def children_shares(
    trie: PrefixTrie,
    queries: Float[Tensor, "targets dim"],
    table: Float[Tensor, "items dim"],
    path: Int64[Tensor, "targets levels_and_1"],
) -> list[Float[Tensor, "targets width"]]:
    """What an item head makes of the children along each target's path: level by level, shares of the softmax over all items.

    Args:
        trie: of the items.
        queries: of the head.
        table: of the head.
        path: nodes from the root to each target's leaf.

    Returns:
        Per level, a distribution over the family of the path's node, 0 where the family is padded.
    """
    rows = max(BLOCK // len(table), 1)  # of so many targets all weights are held at a time
    blocks, in_order = [], table[trie.items]
    for some_queries, some_path in zip(queries.split(rows), path.split(rows), strict=True):
        logits = (in_order @ some_queries.T).float()  # [items, targets]
        weights = logits.sub_(logits.amax(dim=0)).exp_()  # of a softmax; its denominator would cancel below
        shares = []
        for level, below in enumerate(trie.sums_below(weights)):
            child, _, real = trie.children(some_path[:, level], level)
            mass = below.gather(0, (child - trie.level_starts[level + 1]).T).T.masked_fill(~real, 0.0)
            total = mass.sum(1, keepdim=True)  # 0 where the head rules all of them out: then they share evenly
            shares.append(torch.where(total > 0, mass, real.float()) / torch.where(total > 0, total, real.sum(1, keepdim=True)))
        blocks.append(shares)
    return [_joined(level) for level in zip(*blocks, strict=True)]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Families of several blocks, padded to the widest."""
    width = max(part.shape[1] for part in parts)
    return torch.cat([F.pad(part, (0, width - part.shape[1])) for part in parts])
