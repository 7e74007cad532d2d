"""From ranked leaves of the trie to ranked items, tie groups whole."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.search_constraints import Steering
from genrec.protocols import Decoded
from genrec.types import PAD


def log_group_size(trie: PrefixTrie, leaves: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The log of the number of items that share each leaf: an item's probability is its ID's, divided by that number."""
    return trie.num_below(leaves).clamp(min=1).log()


def leaf_keys(
    trie: PrefixTrie, leaves: Int64[Tensor, "batch leaves"], scores: Float[Tensor, "batch leaves"], steering: Steering
) -> Float[Tensor, "batch leaves"]:
    """Returns what each leaf ranks by: its best item's score plus bias, -inf where none of its items may be returned."""
    items, _ = trie.items_of(leaves)
    return (scores.unsqueeze(-1) + steering.bias(items)).masked_fill(steering.excludes(items), float("-inf")).amax(-1)


def items_of_leaves(
    trie: PrefixTrie,
    leaves: Int64[Tensor, "batch leaves"],
    scores: Float[Tensor, "batch leaves"],
    k: int,
    steering: Steering,
) -> Decoded:
    """Lists the items of ``leaves`` (distinct, best first, dead ones at -inf) until ``k`` are reached.

    Items that share an ID are a tie group. The group that crosses rank k is listed whole, so that a metric can count it by
    expected rank. Under a bias each item has its own key, so items are listed one by one.

    Args:
        trie: of the leaves.
        leaves: distinct nodes, best first.
        scores: their log-probabilities, -inf where the entry is none.
        k: how many items.
        steering: what the request forbids and prefers.
    """
    width = k + trie.max_group - 1
    live = scores > float("-inf")
    items, _ = trie.items_of(torch.where(live, leaves, trie.level_starts[trie.num_levels]))  # [batch, leaves, group]
    listed = live.unsqueeze(-1) & ~steering.excludes(items)
    if steering.request.bias is not None:
        keys = (scores.unsqueeze(-1) + steering.bias(items)).masked_fill(~listed, float("-inf"))
        return _one_by_one(items.flatten(1), keys.flatten(1), k, width)
    size = listed.sum(-1)
    start = size.cumsum(-1) - size  # 0-based rank at which each group starts
    keep = listed & (start < k).unsqueeze(-1)
    slot = (start.unsqueeze(-1) + listed.cumsum(-1) - 1).clamp(0, width - 1)
    slot = torch.where(keep, slot, width).flatten(1)  # entries that are not listed land in a column that is cut off

    def slots_of(values: Tensor, empty: int | float) -> Tensor:
        out = torch.full((len(leaves), width + 1), empty, dtype=values.dtype, device=values.device)
        return out.scatter_(1, slot, values.expand_as(items).flatten(1))[:, :width]

    return Decoded(
        items=slots_of(items, PAD),
        scores=slots_of(scores.unsqueeze(-1), float("-inf")),
        tie_start=slots_of((start + 1).unsqueeze(-1), PAD),
        tie_size=slots_of(size.unsqueeze(-1), PAD),
    )


def _one_by_one(items: Int64[Tensor, "batch n"], keys: Float[Tensor, "batch n"], k: int, width: int) -> Decoded:
    """The ``k`` items with the largest keys, each a tie group of its own, in ``width`` slots."""
    keys, order = keys.topk(min(k, keys.shape[1]), dim=1)
    live, rank = keys > float("-inf"), torch.arange(1, keys.shape[1] + 1, device=keys.device).expand_as(order)

    def slots(values: Tensor, empty: int | float) -> Tensor:
        return torch.nn.functional.pad(torch.where(live, values, empty), (0, width - keys.shape[1]), value=empty)

    return Decoded(
        items=slots(items.gather(1, order), PAD),
        scores=slots(keys, float("-inf")),
        tie_start=slots(rank, PAD),
        tie_size=slots(torch.ones_like(rank), PAD),
    )
