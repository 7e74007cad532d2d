"""Beam search that fills in the codes of an item in any order, for masked diffusion (DiffGRM).

Sources and departures: docs/methods/masked_diffusion.md.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.search import enough_beams
from genrec.decoding.lib.search_constraints import Steering, at_most
from genrec.decoding.lib.tie_groups import items_of_leaves, leaf_keys, log_group_size
from genrec.errors import ConfigError
from genrec.nn.trie_likelihood import child_log_probs
from genrec.protocols import Decoded, DecodingRequest, MaskedGenerator
from genrec.types import PAD

_ENTRIES = 1 << 24  # of the beams' lists of IDs, at a time


class MaskedItem:
    """Each step every beam fills one more level, whichever (level, code) pairs are best.

    A beam's score is the sum of its log-probabilities at the time of filling. What two orders lead to is one beam, with the
    better score. Legal without a trie: every beam has the list of the IDs that agree with it, and only their codes are open.
    With trie normalization these codes share the mass; the score then depends on the order, and is no likelihood.

    Several beams may be views of one item. Where that leaves a user with fewer than ``k`` items, a second search fills level
    after level, whose beams are never the same item, and both answers are merged: ``k`` items whenever ``k`` are allowed.

    A list is as long as the commonest code after the first step, and shrinks from there. Users are searched a few at a time
    where lists are long.

    Args:
        num_beams: partial items kept per user; at least k.
    """

    kind: ClassVar[Literal["masked"]] = "masked"

    def __init__(self, *, num_beams: int = 128) -> None:
        self.num_beams = num_beams

    def check(self, k: int) -> None:
        """Raises ConfigError when fewer beams than wanted items are kept."""
        enough_beams(self.num_beams, k)

    @torch.inference_mode()
    def decode(self, generator: Any, trie: PrefixTrie, request: DecodingRequest) -> Decoded:
        """Decodes ``request.k`` items for every history of the batch.

        Raises:
            ConfigError: for a generator that fills in codes in one order only.
        """
        self.check(request.k)
        if not isinstance(generator, MaskedGenerator):
            got, fix = type(generator).__name__, "use decoding=trie_beam"
            raise ConfigError("decoding", expected="a generator that fills in codes in any order", got=got, fix=fix)
        device = request.batch.history.device
        answer, index = Decoded.nothing(len(request.batch), device), _Index(trie)
        for users in torch.arange(len(request.batch), device=device).split(
            max(_ENTRIES // (self.num_beams * int(index.count.max())), 1)
        ):
            filling = _Filling(generator, index, request.rows(users), self.num_beams)
            filled = filling.run(in_order=False)
            answer = answer.with_rows(users, filling.listed(*filled))
            short = ((answer.items[users] != PAD).sum(dim=1) < request.k).nonzero().squeeze(1)
            if len(short):
                again = _Filling(generator, index, request.rows(users[short]), self.num_beams)
                both = zip(filled, again.run(in_order=True), strict=True)
                merged = (torch.cat([first[short], second], dim=1) for first, second in both)
                answer = answer.with_rows(users[short], again.listed(*merged))
        return answer


class _Index:
    """An index from codes to the IDs that have them.

    IDs are counted from 0 in the order of the trie's leaves, (level, code) pairs level by level.
    """

    def __init__(self, trie: PrefixTrie) -> None:
        self.trie, self.codes = trie, trie.leaf_codes()
        device = trie.device
        sizes = torch.tensor(trie.sizes, device=device)
        self.level_of = torch.arange(trie.num_levels, device=device).repeat_interleave(sizes)
        self.code_of = torch.cat([torch.arange(size, device=device) for size in trie.sizes])
        pairs = (self.codes + (sizes.cumsum(0) - sizes)).T.flatten()
        self.count = torch.bincount(pairs, minlength=len(self.code_of))
        self._start = self.count.cumsum(0) - self.count
        self._ids = pairs.argsort(stable=True) % len(self.codes)  # pair after pair

    def having(self, pair: Int64[Tensor, "batch beams"]) -> Int64[Tensor, "batch beams width"]:
        """The IDs that have a pair, ``PAD`` after the end."""
        count = self.count[pair]
        slot = torch.arange(max(int(count.max()), 1), device=pair.device)
        index = (self._start[pair].unsqueeze(-1) + slot).clamp(max=len(self._ids) - 1)
        return torch.where(slot < count.unsqueeze(-1), self._ids[index], PAD)


class _Filling:
    """The search of some users."""

    def __init__(self, generator: MaskedGenerator, index: _Index, request: DecodingRequest, num_beams: int) -> None:
        self.generator, self.index, self.request, self.num_beams = generator, index, request, num_beams
        self.trie, self.codes = index.trie, index.codes
        self.steering = Steering(self.trie, request)
        everything = torch.arange(len(self.codes), device=self.codes.device).expand(len(request.batch), -1)
        leaves = everything + self.trie.level_starts[-2]
        self.everything = everything.unsqueeze(1)
        self.group = log_group_size(self.trie, leaves)
        self.offers = leaf_keys(
            self.trie, leaves, torch.zeros_like(self.group), self.steering
        )  # best bias; -inf: nothing to list

    def run(self, *, in_order: bool) -> tuple[Int64[Tensor, "batch beams"], Float[Tensor, "batch beams"]]:
        """The IDs of the last beams, and the scores of an item of each; -inf where a beam died."""
        num_levels, users = self.trie.num_levels, len(self.request.batch)
        state = self.generator.prefill(self.request.batch)
        device = self.codes.device
        level_of, code_of = self.index.level_of, self.index.code_of
        filled = torch.full((users, 1, num_levels), PAD, device=device)
        scores, members = torch.zeros(users, 1, device=device), self.everything
        for turn in range(num_levels):
            last = turn == num_levels - 1
            offers = self.offers - self.group if last else self.offers
            grown, keys = self._grow(state, filled, scores, members, offers, turn if in_order else None)
            # A partial item is reached from at most turn + 1 others, so this many hold the best of enough distinct ones.
            best, index = keys.flatten(1).topk(min(self.num_beams * (turn + 1), keys[0].numel()), dim=1)
            parent, pair = index // len(level_of), index % len(level_of)
            partial = filled.gather(1, parent.unsqueeze(-1).expand(-1, -1, num_levels))
            partial = partial.scatter(2, level_of[pair].unsqueeze(-1), code_of[pair].unsqueeze(-1))
            best, best_rows = at_most(1, best, _equal_groups(partial)).topk(min(self.num_beams, best.shape[1]), dim=1)
            index, parent, pair = (values.gather(1, best_rows) for values in (index, parent, pair))
            filled = partial.gather(1, best_rows.unsqueeze(-1).expand(-1, -1, num_levels))
            scores = grown.flatten(1).gather(1, index).masked_fill(best == float("-inf"), float("-inf"))
            if turn:
                inherited = members.gather(1, parent.unsqueeze(-1).expand(-1, -1, members.shape[2]))
                agrees = self.codes[inherited.clamp(min=0), level_of[pair].unsqueeze(-1)] == code_of[pair].unsqueeze(-1)
                members = _compact(inherited, agrees & (inherited != PAD))
            else:
                members = self.index.having(pair)
        ids = members[..., 0].clamp(min=0)
        return ids, scores - self.group.gather(1, ids)

    def listed(self, ids: Int64[Tensor, "batch some"], scores: Float[Tensor, "batch some"]) -> Decoded:
        """The answer; an ID that was found twice counts with its better score."""
        leaves = ids + self.trie.level_starts[-2]
        keys = at_most(1, leaf_keys(self.trie, leaves, scores, self.steering), ids)
        keys, order = keys.sort(dim=1, descending=True, stable=True)
        scores = scores.gather(1, order).masked_fill(keys == float("-inf"), float("-inf"))
        return items_of_leaves(self.trie, leaves.gather(1, order), scores, self.request.k, self.steering)

    def _grow(
        self,
        state: Any,
        filled: Int64[Tensor, "batch beams levels"],
        scores: Float[Tensor, "batch beams"],
        members: Int64[Tensor, "batch beams width"],
        offers: Float[Tensor, "batch ids"],
        only: int | None,
    ) -> tuple[Float[Tensor, "batch beams pairs"], Float[Tensor, "batch beams pairs"]]:
        """Scores and keys of every beam with one more (level, code) pair; keys of what is closed are -inf."""
        there = members != PAD
        members = members.clamp(min=0)
        offered = offers.gather(1, members.flatten(1)).view_as(members).masked_fill(~there, float("-inf"))
        grown, keys = [], []
        for level, logits in enumerate(self.generator.fill(state, filled)):
            code = self.codes[members, level]
            exists = torch.zeros_like(logits, dtype=torch.uint8).scatter_reduce(2, code, there.byte(), "amax").bool()
            best = torch.full_like(logits, float("-inf"), dtype=offers.dtype).scatter_reduce(2, code, offered, "amax")
            codes = torch.arange(logits.shape[2], device=logits.device).expand_as(logits)
            log_probs = child_log_probs(logits.float(), codes, exists, self.generator.normalization)
            grown.append(scores.unsqueeze(-1) + log_probs)
            is_open = (best > float("-inf")) & (filled[..., level] == PAD).unsqueeze(-1)
            is_open &= only is None or only == level
            keys.append(torch.where(is_open, grown[-1] + best, float("-inf")))
        return torch.cat(grown, dim=2), torch.cat(keys, dim=2)


def _equal_groups(partial: Int64[Tensor, "batch n levels"]) -> Int64[Tensor, "batch n"]:
    """A number for each partial item; equal ones have equal numbers."""
    _, number = torch.unique(partial.flatten(0, 1), dim=0, return_inverse=True)
    return number.view(partial.shape[:2])


def _compact(members: Int64[Tensor, "batch beams width"], keep: Tensor) -> Int64[Tensor, "batch beams narrower"]:
    """The kept entries of each list, ``PAD`` after its end; as wide as the longest."""
    count = keep.sum(dim=2).flatten()
    row, index = keep.flatten(0, 1).nonzero(as_tuple=True)
    slot = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
    lists = members.new_full((len(count), max(int(count.max()), 1)), PAD)
    lists[row, slot] = members.flatten(0, 1)[row, index]
    return lists.view(*members.shape[:2], -1)
