"""At most so many items of one brand, category, seller ...: around any strategy, without asking for more items than wanted.

Own design: see docs/methods/diverse_decoding.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from genrec.core.deadlines import stop_if_abandoned
from genrec.decoding.lib.candidates import rank_items
from genrec.errors import ConfigError
from genrec.protocols import Decoded, DecodingRequest, DecodingStrategy, HasMoreItems
from genrec.types import PAD, Decodes


class Quota:
    """The best ``k`` items of which at most ``limit`` are of one group, for one column of groups or several at once.

    The list is a walk down the ranking: an item is taken when none of its groups is full, and then counts in all of them. Where
    a search lists too few that are taken, it is repeated with the rest of all full groups closed; what was taken stays allowed.
    So each search takes at least one item more, and with an exact strategy the answer is that of the walk through the whole
    ranking. Only users whose list is not there yet are searched for again, and a strategy that has more items ``at_hand``
    than ``k`` is asked for those.

    Args:
        strategy: does the search.
        groups: [items] or [columns, items], the group of each item from 0, or ``PAD`` for items that no quota binds.
        limit: most items of one group, or one number for each column.
        searches: of single histories, at most so many for a batch, the first of each among them; None: as many as it takes.
    """

    def __init__(
        self,
        strategy: DecodingStrategy,
        groups: Int64[Tensor, "*columns items"],
        limit: int | Sequence[int],
        *,
        searches: int | None = None,
    ) -> None:
        limits = [limit] if isinstance(limit, int) else list(limit)
        for number in limits:
            if number < 1:
                raise ConfigError("quota", expected="at least 1", got=number, fix="forbid the group with a filter instead")
        self.strategy, self.searches = strategy, searches
        self.groups = groups.view(-1, groups.shape[-1])
        most = self.groups.shape[1]  # of any group; a limit may be a number of any size
        self.limits = torch.tensor([min(number, most) for number in limits]).view(-1, 1)

    @property
    def kind(self) -> Decodes:
        return self.strategy.kind

    def check(self, k: int) -> None:
        """Raises ConfigError when the strategy cannot give ``k`` items."""
        self.strategy.check(k)

    @torch.inference_mode()
    def decode(self, generator: Any, trie: Any, request: DecodingRequest) -> Decoded:
        """Decodes up to ``request.k`` items for every history of the batch.

        Raises:
            ConfigError: when ``searches`` are not enough.
        """
        device = request.batch.history.device
        groups, limits = self.groups.to(device), self.limits.to(device)
        everything = torch.ones(len(request.batch), groups.shape[1], dtype=torch.bool, device=device)
        allowed = everything if request.allowed is None else everything & request.allowed
        more = self.strategy.at_hand if isinstance(self.strategy, HasMoreItems) else 0
        wider = replace(request, k=max(request.k, min(more, groups.shape[1])))
        lists_of_search = self.strategy.decode(generator, trie, wider)
        users, searches = torch.arange(len(request.batch), device=device), len(request.batch)
        answer: Decoded | None = None
        while True:
            accepted, full = _walk(lists_of_search.items, groups, limits)
            lists = _accepted_lists(lists_of_search, accepted, request.k)
            answer = lists if answer is None else answer.with_rows(users, lists)
            is_short = accepted.sum(dim=1) < request.k
            going = (is_short & ((lists_of_search.items != PAD) & ~accepted).any(dim=1)).nonzero().squeeze(1)
            if not len(going):
                return answer
            searches += len(going)
            if self.searches is not None and searches > self.searches:
                got = f"{len(going)} lists of {len(request.batch)} that need more"
                fix = "ask for fewer histories or items at once, or allow more of one value"
                raise ConfigError("quota", expected=f"lists that {self.searches} searches fill", got=got, fix=fix)
            stop_if_abandoned()
            users = users[going]
            allowed[users] = _without_full_groups(
                lists_of_search.items[going], accepted[going], full[:, going], groups, allowed[users]
            )
            lists_of_search = self.strategy.decode(generator, trie, replace(wider.rows(users), allowed=allowed[users]))


def _accepted_lists(lists_of_search: Decoded, accepted: Bool[Tensor, "batch slots"], k: int) -> Decoded:
    """The lists without what was not taken, down to rank ``k``; what is left of a group of equal items stays one."""
    lists = rank_items(
        lists_of_search.items.masked_fill(~accepted, PAD), -lists_of_search.tie_start.to(lists_of_search.scores.dtype), k
    )
    order = accepted.int().argsort(dim=1, descending=True, stable=True)[:, : lists.items.shape[1]]
    return replace(lists, scores=lists_of_search.scores.gather(1, order).masked_fill(lists.items == PAD, float("-inf")))


def _walk(
    items: Int64[Tensor, "batch slots"], groups: Int64[Tensor, "columns items"], limits: Int64[Tensor, "columns 1"]
) -> tuple[Bool[Tensor, "batch slots"], Bool[Tensor, "columns batch slots"]]:
    """Returns which entries are taken on the way down the lists, and which of their groups are full at the end."""
    listed = items != PAD
    group = groups[:, items.clamp(min=0)].masked_fill(~listed, PAD)
    lists = torch.arange(group.shape[0] * group.shape[1], device=items.device).view(*group.shape[:2], 1)
    _, counter = torch.unique(lists * (int(groups.max()) + 2) + group + 1, return_inverse=True)  # one for each group of a list
    count = torch.zeros(counter.numel(), dtype=torch.long, device=items.device)
    binds, accepted = group != PAD, torch.zeros_like(listed)
    for slot in range(items.shape[1]):
        at = counter[..., slot]
        is_full = binds[..., slot] & (count[at] >= limits)
        accepted[:, slot] = listed[:, slot] & ~is_full.any(dim=0)
        count[at] += accepted[:, slot].long()  # the counters of a slot are distinct
    return accepted, binds & (count[counter] >= limits.unsqueeze(-1))


def _without_full_groups(
    items: Int64[Tensor, "batch slots"],
    accepted: Bool[Tensor, "batch slots"],
    full: Bool[Tensor, "columns batch slots"],
    groups: Int64[Tensor, "columns items"],
    allowed: Bool[Tensor, "batch items"],
) -> Bool[Tensor, "batch items"]:
    """Returns the items still allowed: those accepted, and of the others all that are in no full group."""
    num_items = groups.shape[1]
    closed = torch.zeros_like(allowed)
    for column, is_full in zip(groups, full, strict=True):
        number, num_groups = column[items.clamp(min=0)], int(column.max()) + 1
        marks = torch.zeros(len(items), num_groups + 1, dtype=torch.bool, device=items.device)  # the last: of PAD
        marks.scatter_(1, torch.where(is_full, number, num_groups), True)
        marks[:, -1] = False
        closed |= marks[:, column]  # PAD reads the last column
    stays = torch.zeros(len(items), num_items + 1, dtype=torch.bool, device=items.device)  # empty slots write into the last
    stays.scatter_(1, torch.where(accepted, items, num_items), True)
    return allowed & (~closed | stays[:, :-1])
