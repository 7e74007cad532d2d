"""Beam search that spreads over the tree: at most so many items below any one prefix.

Own design: see docs/methods/diverse_decoding.md.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.search import enough_beams, search
from genrec.decoding.lib.search_constraints import Steering, at_most
from genrec.errors import ConfigError
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest
from genrec.types import PAD


class DiverseTrieBeam:
    """The most probable items of which at most ``per_prefix`` share their first ``depth`` codes.

    The quota binds inside the search, so that no beams are spent on what would be thrown away: on the way down each prefix of
    that depth keeps a share of the beams (in the proportion ``per_prefix`` to k, and at least ``per_prefix``). Fewer than k
    items come back only when the quota allows no more. Items that share an ID are listed all or none, and each counts: an ID of
    more than ``per_prefix`` items is never listed.

    Args:
        num_beams: prefixes kept per user; at least k.
        per_prefix: most items below one prefix.
        depth: number of codes of such a prefix.
    """

    kind: ClassVar[Literal["autoregressive"]] = "autoregressive"

    def __init__(self, *, num_beams: int = 50, per_prefix: int = 2, depth: int = 1) -> None:
        for key, value in (("per_prefix", per_prefix), ("depth", depth)):
            if value < 1:
                raise ConfigError(f"decoding.{key}", expected="at least 1", got=value, fix="raise it")
        self.num_beams, self.per_prefix, self.depth = num_beams, per_prefix, depth

    def check(self, k: int) -> None:
        """Raises ConfigError when fewer beams than wanted items are kept."""
        enough_beams(self.num_beams, k)

    def decode(self, generator: AutoregressiveGenerator, trie: PrefixTrie, request: DecodingRequest) -> Decoded:
        """Decodes up to ``request.k`` items for every history of the batch."""
        self.check(request.k)
        # Rounded down: shares of this size make up all beams only where their prefixes may hold k items together.
        share = max(self.num_beams * self.per_prefix // request.k, self.per_prefix)
        steering = Steering(trie, request)

        def choose(keys: Tensor, nodes: Tensor, level: int) -> Tensor:
            keys, above = keys.flatten(1), nodes.flatten(1)
            if level >= self.depth:
                for _ in range(level + 1 - self.depth):
                    above = trie.parent[above].long()
                if level < trie.num_levels - 1:
                    keys = at_most(share, keys, above)
                elif trie.max_group == 1:
                    keys = at_most(self.per_prefix, keys, above)
                else:
                    keys = at_most_items(self.per_prefix, keys, above, num_listed(trie, nodes, steering))
            best, chosen = keys.topk(min(self.num_beams, keys.shape[1]), dim=1)
            return torch.where(best > float("-inf"), chosen, PAD)

        return search(generator, trie, request, choose)


def num_listed(trie: PrefixTrie, leaves: Int64[Tensor, "batch beams width"], steering: Steering) -> Int64[Tensor, "batch n"]:
    """Returns how many items of each leaf may be listed."""
    items, _ = trie.items_of(leaves.flatten(1))
    return (~steering.excludes(items)).sum(-1)


def at_most_items(
    limit: int, keys: Float[Tensor, "batch n"], groups: Int64[Tensor, "batch n"], sizes: Int64[Tensor, "batch n"]
) -> Float[Tensor, "batch n"]:
    """The keys, -inf for all that do not fit when each group takes its entries, best first, up to ``limit`` items.

    Args:
        limit: items of a group.
        keys: of the entries.
        groups: of the entries.
        sizes: items of each entry, which is taken whole or not at all.
    """
    live = (keys > float("-inf")) & (sizes <= limit)
    best_first = keys.argsort(dim=1, descending=True, stable=True)
    order = best_first.gather(1, groups.gather(1, best_first).argsort(dim=1, stable=True))  # group by group, best first
    ordered_groups, ordered_sizes, is_open = (values.gather(1, order) for values in (groups, sizes, live))
    for _ in range(limit):  # each round takes one more entry of every group for good
        counted = torch.where(is_open, ordered_sizes, 0)
        total = counted.cumsum(1)
        opens = torch.ones_like(is_open)
        opens[:, 1:] = ordered_groups[:, 1:] != ordered_groups[:, :-1]
        before_group = torch.where(opens, total - counted, 0).cummax(dim=1).values
        with_it = total - before_group
        over = is_open & (with_it > limit)
        # What the entries before the first that is over have taken; nothing of the group larger than the rest can be taken.
        counted_until = torch.where(is_open & ~over, with_it, 0)
        base = torch.where(opens, torch.arange(keys.shape[1], device=keys.device), 0).cummax(dim=1).values
        most = torch.zeros_like(counted_until).scatter_reduce(1, base, counted_until, "amax")
        fits = ~over | (most.gather(1, base) + ordered_sizes <= limit)
        if bool((fits | ~is_open).all()) and not bool(over.any()):
            break
        is_open = is_open & fits
    return keys.masked_fill(~torch.zeros_like(is_open).scatter(1, order, is_open), float("-inf"))
