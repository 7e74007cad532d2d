"""From ranked leaves of the trie to ranked items, tie groups whole."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.decoding.exclusion import Exclusion
from genrec.protocols import Decoded
from genrec.trie import PrefixTrie
from genrec.types import PAD


def log_group_size(trie: PrefixTrie, leaves: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The log of the number of items that share each leaf: an item's probability is its ID's, divided by that number."""
    return trie.num_below(leaves).clamp(min=1).log()


def items_of_leaves(
    trie: PrefixTrie,
    leaves: Int64[Tensor, "batch leaves"],
    scores: Float[Tensor, "batch leaves"],
    k: int,
    exclusion: Exclusion,
) -> Decoded:
    """Lists the items of ``leaves`` (distinct, best first, dead ones at -inf) until ``k`` are reached.

    Items that share an ID are a tie group. The group that crosses rank k is listed whole, so that a metric can count it by
    expected rank.
    """
    live = scores > float("-inf")
    items, _ = trie.items_of(torch.where(live, leaves, trie.level_starts[trie.num_levels]))  # [batch, leaves, group]
    listed = live.unsqueeze(-1) & ~exclusion.items(items)
    size = listed.sum(-1)
    start = size.cumsum(-1) - size  # 0-based rank at which each group starts
    keep = listed & (start < k).unsqueeze(-1)
    width = k + trie.max_group - 1
    slot = (start.unsqueeze(-1) + listed.cumsum(-1) - 1).clamp(0, width - 1)
    slot = torch.where(keep, slot, width).flatten(1)  # entries that are not listed land in a column that is cut off

    def place(values: Tensor, empty: int | float) -> Tensor:
        out = torch.full((len(leaves), width + 1), empty, dtype=values.dtype, device=values.device)
        return out.scatter_(1, slot, values.expand_as(items).flatten(1))[:, :width]

    return Decoded(
        items=place(items, PAD),
        scores=place(scores.unsqueeze(-1), float("-inf")),
        tie_start=place((start + 1).unsqueeze(-1), PAD),
        tie_size=place(size.unsqueeze(-1), PAD),
    )
