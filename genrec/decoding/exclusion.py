"""What a search may not return, as trie nodes to close: seen items per user, and a filter shared by all users."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from genrec.protocols import DecodingRequest
from genrec.trie import PrefixTrie
from genrec.types import PAD


@dataclass(frozen=True)
class ClosedNodes:
    """The (user, node) pairs of one depth below which nothing may be returned to that user."""

    user: Int64[Tensor, " pairs"]
    node: Int64[Tensor, " pairs"]
    parent: Int64[Tensor, " pairs"]


class Exclusion:
    """Closes nodes so that a search never spends a beam on a prefix that leads nowhere.

    A node is closed for everybody when nothing allowed lies below it, and for one user when that user has seen all of it.
    Normalization is not touched: what is left keeps its scores.
    """

    def __init__(self, trie: PrefixTrie, request: DecodingRequest) -> None:
        self.trie, self.request = trie, request
        self.tally = None if request.allowed is None else trie.tally(request.allowed)
        self.closed: list[ClosedNodes] = []
        if request.seen is None:
            return
        seen = request.seen != PAD
        if request.allowed is not None:
            seen &= request.allowed[request.seen.clamp(min=0)]  # what is filtered anyway does not count twice
        user, column = seen.nonzero(as_tuple=True)
        pairs = torch.unique(torch.stack([user, request.seen[user, column]]), dim=1)  # a repeat is one item
        user, path = pairs[0], trie.paths(pairs[1])
        for depth in range(1, trie.num_levels + 1):
            key, which, count = torch.unique(user * trie.num_nodes + path[:, depth], return_inverse=True, return_counts=True)
            parent = torch.zeros_like(key).scatter_(0, which, path[:, depth - 1])
            node = key % trie.num_nodes
            full = count == trie.num_below(node, self.tally)
            self.closed.append(ClosedNodes((key // trie.num_nodes)[full], node[full], parent[full]))

    def apply(
        self, scores: Float[Tensor, "batch beams width"], nodes: Int64[Tensor, "batch beams"], child: Tensor, level: int
    ) -> Float[Tensor, "batch beams width"]:
        """Sets the scores of closed children to -inf; ``child`` holds the node ids behind ``scores``."""
        if self.tally is not None:
            scores = scores.masked_fill(self.trie.num_below(child, self.tally) == 0, float("-inf"))
        if not self.closed:
            return scores
        closed = self.closed[level]
        if not len(closed.node):
            return scores
        # Each closed pair finds the beam (at most one) that stands on its parent, and the slot in that beam's family.
        match = nodes[closed.user] == closed.parent.unsqueeze(1)
        beam, slot = match.int().argmax(dim=1), closed.node - self.trie.first_child[closed.parent]
        index = (closed.user * scores.shape[1] + beam) * scores.shape[2] + slot
        bound = torch.where(match.any(dim=1), float("-inf"), float("inf")).to(scores.dtype)
        return scores.flatten().scatter_reduce(0, index, bound, "amin").view_as(scores)

    def items(self, items: Int64[Tensor, "batch *any"]) -> Bool[Tensor, "batch *any"]:
        """Which of these items may not be returned (``PAD`` entries are excluded too)."""
        excluded = items == PAD
        if self.request.allowed is not None:
            excluded |= ~self.request.allowed[items.clamp(min=0)]
        if self.request.seen is not None:
            flat = items.flatten(1)
            for column in self.request.seen.split(64, dim=1):  # bounded memory for users who have seen thousands
                excluded |= (flat.unsqueeze(2) == column.unsqueeze(1)).any(2).view_as(items)
        return excluded
