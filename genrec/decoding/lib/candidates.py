"""From leaves of the trie to items, tie groups whole: which may be listed, their exact probability, union and ranking."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.search_constraints import Steering
from genrec.nn.trie_likelihood import id_log_probs
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest, ItemScorer
from genrec.types import PAD


def ranking_keys(scores: Float[Tensor, "batch items"], request: DecodingRequest) -> Float[Tensor, "batch items"]:
    """The ranking keys of the whole catalogue: scores plus the request's bias, -inf for what it forbids or has seen."""
    if request.bias is not None:
        scores = scores + request.bias
    if request.allowed is not None:
        scores = scores.masked_fill(~request.allowed, float("-inf"))
    if request.seen is not None:
        # One column more than there are items takes the padding.
        padded = torch.nn.functional.pad(scores, (0, 1))
        index = torch.where(request.seen == PAD, scores.shape[1], request.seen)
        scores = padded.scatter(1, index, float("-inf"))[:, :-1]
    return scores


def bias_of(request: DecodingRequest, items: Int64[Tensor, "batch candidates"]) -> Float[Tensor, "batch candidates"]:
    """Returns what the request adds to the key of each item."""
    if request.bias is None:
        return torch.zeros(items.shape, device=items.device)
    return request.bias.expand(len(items), -1).gather(1, items.clamp(min=0))


def best_items(keys: Float[Tensor, "batch items"], number: int) -> Int64[Tensor, "batch best"]:
    """The items with the largest keys, ``PAD`` where no more are allowed."""
    keys, items = keys.topk(min(number, keys.shape[1]), dim=1)
    return torch.where(keys > float("-inf"), items, PAD)


def union(lists: Sequence[Int64[Tensor, "batch _"]]) -> Int64[Tensor, "batch candidates"]:
    """The distinct items of several lists, row by row in descending order, ``PAD`` at the end."""
    items = torch.cat(list(lists), dim=1).sort(dim=1, descending=True).values
    repeated = torch.nn.functional.pad(items[:, 1:] == items[:, :-1], (1, 0))
    items = items.masked_fill(repeated, PAD).sort(dim=1, descending=True).values
    return items[:, : int((items != PAD).sum(dim=1).max())]


def rank_items(items: Int64[Tensor, "batch candidates"], keys: Float[Tensor, "batch candidates"], k: int) -> Decoded:
    """The ``k`` items with the largest keys; equal keys are a tie group, and the last one is listed whole.

    Args:
        items: distinct within a row; ``PAD`` entries are never listed.
        keys: what to rank by.
        k: how many items.
    """
    keys, order = keys.masked_fill(items == PAD, float("-inf")).sort(dim=1, descending=True, stable=True)
    items = items.gather(1, order)
    rank = torch.arange(items.shape[1], device=items.device).expand_as(items)
    new = torch.nn.functional.pad(keys[:, 1:] != keys[:, :-1], (1, 0), value=True)
    start = torch.where(new, rank, 0).cummax(dim=1).values  # 0-based rank at which each entry's group starts
    size = torch.zeros_like(rank).scatter_add_(1, start, torch.ones_like(rank)).gather(1, start)
    listed = (start < k) & (keys > float("-inf"))
    width = max(int(listed.sum(dim=1).max()), 1) if listed.numel() else 0

    def slots(values: Tensor, empty: int | float) -> Tensor:
        return torch.where(listed, values, empty)[:, :width]

    return Decoded(slots(items, PAD), slots(keys, float("-inf")), slots(start + 1, PAD), slots(size, PAD))


@torch.inference_mode()
def item_log_probs(
    generator: AutoregressiveGenerator | ItemScorer,
    trie: PrefixTrie | None,
    batch: Batch,
    items: Int64[Tensor, "batch candidates"],
) -> Float[Tensor, "batch candidates"]:
    """Log-probability of each candidate as the next item of its history; no seen-item rule, no filter.

    Autoregressive generators: the sum over the levels of the item's ID, the size of a group that shares the ID divided out, so
    that with trie normalization the probabilities of the whole catalogue sum to one. Item scorers: softmax over the catalogue.
    Histories are encoded once; memory grows with batch x candidates x family size, so many candidates want small batches.

    Args:
        generator: in eval mode.
        trie: of the whole catalogue, or None for an item scorer.
        batch: the histories.
        items: item_idx; ``PAD`` entries get -inf.
    """
    valid_items = items.clamp(min=0)
    if trie is None:
        assert isinstance(generator, ItemScorer)
        log_probs = generator.score(batch).float().log_softmax(dim=1).gather(1, valid_items)
    else:
        assert isinstance(generator, AutoregressiveGenerator)
        log_probs = id_log_probs(generator, trie, batch, valid_items) - log_group_size(trie, trie.leaf_of[valid_items].long())
    return log_probs.masked_fill(items == PAD, float("-inf"))


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
