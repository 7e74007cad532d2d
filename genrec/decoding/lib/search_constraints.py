"""What a search may not return and what it should prefer, as keys of trie nodes.

The ranking key of an item is its log-probability plus the request's bias; that of a prefix is its own log-probability plus the
largest bias of what it may still lead to, so that a search never drops a prefix for being dull when a favoured item lies below.
Where nothing allowed lies below, the key is -inf, and no beam is spent. Normalization is not touched: what is left keeps its
scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from genrec.core.trie import PrefixTrie
from genrec.protocols import DecodingRequest
from genrec.types import PAD


@dataclass(frozen=True)
class ClosedNodes:
    """The (user, node) pairs of one depth below which nothing may be returned to that user."""

    user: Int64[Tensor, " pairs"]
    node: Int64[Tensor, " pairs"]
    parent: Int64[Tensor, " pairs"]


class Steering:
    """A request's filter, seen items and bias over one trie.

    A node is closed for a user when nothing allowed to that user lies below it. A filter costs a running count over the items,
    a bias one pass over the nodes, seen items a few look-ups each.
    """

    def __init__(self, trie: PrefixTrie, request: DecodingRequest) -> None:
        self.trie, self.request = trie, request
        self._tally = None if request.allowed is None else trie.tally(request.allowed)
        self._best = None if request.bias is None else trie.best_below(_where_allowed(request))
        self._seen = torch.zeros(0, dtype=torch.long, device=trie.device)  # ascending: user and place in the trie as one
        self._closed = [] if request.seen is None else self._seen_everywhere_below(request.seen)

    def keys(
        self,
        scores: Float[Tensor, "batch beams width"],
        nodes: Int64[Tensor, "batch beams"],
        child: Int64[Tensor, "batch beams width"],
        level: int,
    ) -> Float[Tensor, "batch beams width"]:
        """The ranking keys of the children of ``nodes``, whose log-probabilities are ``scores``."""
        if self._best is not None:
            scores = scores + self._of_users(self._best, child)
        elif self._tally is not None:
            scores = scores.masked_fill(self.num_allowed(child) == 0, float("-inf"))
        if not self._closed or not len(self._closed[level].node):
            return scores
        closed = self._closed[level]
        # Each closed pair finds the beam (at most one; dead ones come behind it) that stands on its parent, and the slot there.
        stands, beam = (_row(nodes) * self.trie.num_nodes + nodes).flatten().sort(stable=True)
        parent = closed.user * self.trie.num_nodes + closed.parent
        at = torch.searchsorted(stands, parent).clamp(max=len(stands) - 1)
        slot = closed.node - self.trie.first_child[closed.parent]
        slot = slot.clamp(max=scores.shape[2] - 1)  # of a family that no beam stands above, which may be wider
        index = beam[at] * scores.shape[2] + slot
        bound = torch.where(stands[at] == parent, float("-inf"), float("inf")).to(scores.dtype)
        return scores.flatten().scatter_reduce(0, index, bound, "amin").view_as(scores)

    def num_allowed(self, nodes: Int64[Tensor, "batch *any"]) -> Int64[Tensor, "batch *any"]:
        """Returns how many items the filter leaves below each node."""
        return self.trie.num_below(nodes, self._tally, _row(nodes))

    def excludes(self, items: Int64[Tensor, "batch *any"]) -> Bool[Tensor, "batch *any"]:
        """Returns which of these items may not be returned (``PAD`` entries are excluded too)."""
        excluded = items == PAD
        if self.request.allowed is not None:
            excluded |= ~self._of_users(self.request.allowed, items.clamp(min=0))
        if len(self._seen):
            key = _row(items) * self.trie.num_items + self.trie.place_of[items.clamp(min=0)]
            excluded |= self._seen[torch.searchsorted(self._seen, key).clamp(max=len(self._seen) - 1)] == key
        return excluded

    def bias(self, items: Int64[Tensor, "batch *any"]) -> Float[Tensor, "batch *any"]:
        """Returns what the request adds to the log-probability of each item (zero for ``PAD``)."""
        if self.request.bias is None:
            return torch.zeros(items.shape, device=items.device)
        return self._of_users(self.request.bias, items.clamp(min=0)).masked_fill(items == PAD, 0.0)

    def _of_users(self, table: Tensor, index: Int64[Tensor, "batch *any"]) -> Tensor:
        """Entries of a table that all users share ([n]), or of each user's own ([batch, n])."""
        return table[index] if table.dim() == 1 else table[_row(index), index]

    def _seen_everywhere_below(self, seen: Int64[Tensor, "batch seen"]) -> list[ClosedNodes]:
        """Depth by depth: the nodes below which a user has seen all that the filter leaves."""
        counts = seen != PAD
        if self.request.allowed is not None:  # what is filtered anyway does not count twice
            counts &= self._of_users(self.request.allowed, seen.clamp(min=0))
        user, column = counts.nonzero(as_tuple=True)
        trie = self.trie
        # A repeat is one item. In the order of the leaves, so that the nodes of every depth are in order too.
        self._seen = torch.unique(user * trie.num_items + trie.place_of[seen[user, column]])
        user, path = self._seen // trie.num_items, trie.paths(trie.items[self._seen % trie.num_items].long())
        closed: list[ClosedNodes] = []
        for depth in range(1, trie.num_levels + 1):
            if depth == trie.num_levels and trie.max_group == 1:  # a leaf each, and nothing else below it
                return [*closed, ClosedNodes(user, path[:, depth], path[:, depth - 1])]
            key, count = torch.unique_consecutive(user * trie.num_nodes + path[:, depth], return_counts=True)
            owner, node = key // trie.num_nodes, key % trie.num_nodes
            full = count == trie.num_below(node, self._tally, owner)
            closed.append(ClosedNodes(owner[full], node[full], trie.parent[node[full]].long()))
        return closed


def _row(index: Int64[Tensor, "batch *any"]) -> Int64[Tensor, "batch ..."]:
    """The number of each entry's row, to be broadcast."""
    return torch.arange(len(index), device=index.device).view(-1, *[1] * (index.dim() - 1))


def _where_allowed(request: DecodingRequest) -> Float[Tensor, "*batch items"]:
    """The bias, -inf where the filter forbids the item."""
    assert request.bias is not None
    return request.bias if request.allowed is None else torch.where(request.allowed, request.bias, float("-inf"))


def at_most(limit: int, keys: Float[Tensor, "batch n"], groups: Int64[Tensor, "batch n"]) -> Float[Tensor, "batch n"]:
    """The keys, -inf for all but the ``limit`` largest of each group."""
    best_first = keys.argsort(dim=1, descending=True, stable=True)
    by_group = groups.gather(1, best_first).argsort(dim=1, stable=True)
    order = best_first.gather(1, by_group)  # group by group, best first
    sorted_groups, position = groups.gather(1, order), torch.arange(keys.shape[1], device=keys.device).expand_as(keys)
    opens = torch.ones_like(sorted_groups, dtype=torch.bool)
    opens[:, 1:] = sorted_groups[:, 1:] != sorted_groups[:, :-1]
    rank = position - torch.where(opens, position, 0).cummax(dim=1).values
    return keys.masked_fill(torch.zeros_like(opens).scatter(1, order, rank >= limit), float("-inf"))
