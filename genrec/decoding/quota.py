"""At most so many items of one brand, category, seller ...: around any strategy, without asking for more items than wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from genrec.decoding.diverse_trie_beam import at_most
from genrec.errors import ConfigError
from genrec.protocols import Decoded, DecodingRequest, DecodingStrategy
from genrec.types import PAD, Decodes


class Quota:
    """The best ``k`` items of which at most ``limit`` are of one group.

    Where a list breaks the quota, the search is repeated with the rest of the full groups closed; what was listed within the
    quota stays allowed. With an exact strategy the answer is that of walking down the whole ranking and skipping what is too
    much; each round fills a group, so few rounds are needed, and only for users who have one.

    Args:
        strategy: does the search.
        groups: [items], the group of each item from 0, or ``PAD`` for items that no quota binds.
        limit: most items of one group.
    """

    def __init__(self, strategy: DecodingStrategy, groups: Int64[Tensor, " items"], limit: int) -> None:
        if limit < 1:
            raise ConfigError("quota", expected="at least 1", got=limit, fix="forbid the group with a filter instead")
        self.strategy, self.groups, self.limit = strategy, groups, limit

    @property
    def kind(self) -> Decodes:
        return self.strategy.kind

    def check(self, k: int) -> None:
        """Raises ConfigError when the strategy cannot give ``k`` items."""
        self.strategy.check(k)

    @torch.inference_mode()
    def decode(self, generator: Any, trie: Any, request: DecodingRequest) -> Decoded:
        """Decodes up to ``request.k`` items for every history of the batch."""
        groups = self.groups.to(request.batch.history.device)
        answer = self.strategy.decode(generator, trie, request)
        everything = torch.ones(len(request.batch), len(groups), dtype=torch.bool, device=groups.device)
        allowed = everything if request.allowed is None else everything & request.allowed
        while len(users := self._over(answer, groups).any(dim=1).nonzero().squeeze(1)):
            allowed[users] = self._without_full_groups(answer.rows(users), groups, allowed[users])
            again = self.strategy.decode(generator, trie, replace(request.rows(users), allowed=allowed[users]))
            answer = answer.with_rows(users, again)
        return answer

    def _over(self, answer: Decoded, groups: Tensor) -> Tensor:
        """[batch, slots]: is the entry one too many of its group?"""
        listed = answer.items != PAD
        group = torch.where(listed, groups[answer.items.clamp(min=0)], PAD)
        rank = torch.arange(answer.items.shape[1], device=groups.device).expand_as(group)
        return listed & (group != PAD) & (at_most(self.limit, -rank.float(), group) == float("-inf"))

    def _without_full_groups(self, answer: Decoded, groups: Tensor, allowed: Tensor) -> Tensor:
        over, items = self._over(answer, groups), answer.items.clamp(min=0)
        full = torch.zeros(len(items), int(groups.max()) + 2, dtype=torch.bool, device=groups.device)  # the last: of PAD
        full.scatter_(1, torch.where(over, groups[items], full.shape[1] - 1), True)
        full[:, -1] = False
        allowed = allowed & ~full[:, groups]  # PAD reads the last column
        kept = (answer.items != PAD) & ~over
        return allowed.scatter(1, items, allowed.gather(1, items) | kept)
