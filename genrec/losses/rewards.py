"""What recommended items are worth, given the one that came next (docs/methods/group_policy.md)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from genrec.trie import PrefixTrie


def hits(
    trie: PrefixTrie, items: Int64[Tensor, "batch group"], targets: Int64[Tensor, " batch"]
) -> Bool[Tensor, "batch group"]:
    """Which items have the ID of the next one: the rule."""
    return trie.leaf_of[items] == trie.leaf_of[targets].unsqueeze(1)


def prefix_shares(
    trie: PrefixTrie, items: Int64[Tensor, "batch group"], targets: Int64[Tensor, " batch"]
) -> Float[Tensor, "batch group"]:
    """How much of the next item's ID each item begins with, in levels of all levels: half right is worth something."""
    same = trie.paths(items)[..., 1:] == trie.paths(targets)[:, None, 1:]
    return same.float().mean(-1)


def rank_penalties(hit: Bool[Tensor, "batch group"]) -> Float[Tensor, "batch group"]:
    """What a wrong item loses by its rank: -a(k) / sum of a over the group, a(k) = 1 / log2(k + 2) at 0-based rank k.

    The higher it stands, the more; 0 for right items, and for all where no item of the group is right.
    """
    discount = 1 / torch.log2(torch.arange(hit.shape[1], device=hit.device) + 2.0)
    return torch.where(hit | ~hit.any(1, keepdim=True), 0.0, -discount / discount.sum())


def advantages(rewards: Float[Tensor, "batch group"], real: Bool[Tensor, "batch group"]) -> Float[Tensor, "batch group"]:
    """(r - mean) / (std + 1e-4) over the real items of each group: 0 in groups whose rewards are all equal, and elsewhere."""
    number = real.sum(1, keepdim=True).clamp(min=1)
    centred = (rewards - (rewards * real).sum(1, keepdim=True) / number) * real
    std = (centred.square().sum(1, keepdim=True) / number).sqrt()
    return torch.where(std > 1e-6, centred / (std + 1e-4), 0.0)
