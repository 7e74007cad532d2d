"""Beam search that fills in the codes of an item in any order, for masked diffusion (DiffGRM, MDGR).

Sources and departures: docs/methods/masked_diffusion.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.candidates import items_of_leaves, leaf_keys, log_group_size
from genrec.decoding.lib.search import enough_beams
from genrec.decoding.lib.search_constraints import Steering, at_most
from genrec.errors import ConfigError
from genrec.nn.code_index import CodeIndex
from genrec.nn.trie_likelihood import child_log_probs
from genrec.protocols import Decoded, DecodingRequest, FillsLast, MaskedGenerator
from genrec.types import PAD

_ENTRIES = 1 << 24  # of the beams' lists of IDs, at a time


class MaskedItem:
    """Each step every beam fills one more level, whichever (level, code) pairs are best.

    A beam's score is the sum of its log-probabilities at the time of filling. What two orders lead to is one beam, with the
    better score. Legal without a trie: every beam has the list of the IDs that agree with it, and only their codes are open.
    With trie normalization these codes share the mass; the score then depends on the order, and is no likelihood.

    With ``warm_up`` (MDGR) only so many levels are filled one by one. Then ALL the IDs that agree with a beam are scored at
    once, each by the sum of the log-probabilities of the codes it still lacks. A level that the generator fills in last (the
    number among items of equal codes) is left out of both and comes after them, one step more.

    With ``max_divergence`` (CORP of REG4Rec) a beam is dropped when its last code changes what the levels that are still open
    predict: when the Jensen-Shannon divergence between their softmaxes before and after, on average over them, is larger.

    Several beams may be views of one item. Where that leaves a user with fewer than ``k`` items, a second search fills level
    after level, whose beams are never the same item, and both answers are merged: ``k`` items whenever ``k`` are allowed.

    A list is as long as the commonest code after the first step, and shrinks from there. Users are searched a few at a time
    where lists are long.

    Args:
        num_beams: partial items kept per user; at least k.
        warm_up: levels that are filled one by one before all others at once; null: every level.
        max_divergence: of a beam's predictions from one step to the next, in nats (at most log 2); null: any.
    """

    kind: ClassVar[Literal["masked"]] = "masked"

    def __init__(self, *, num_beams: int = 128, warm_up: int | None = None, max_divergence: float | None = None) -> None:
        if warm_up is not None and warm_up < 0:
            raise ConfigError("decoding.warm_up", expected="null or >= 0", got=warm_up, fix="2 is MDGR's way")
        if max_divergence is not None and not max_divergence > 0:
            raise ConfigError(
                "decoding.max_divergence", expected="null or above 0", got=max_divergence, fix="null keeps all beams"
            )
        self.num_beams, self.warm_up, self.max_divergence = num_beams, warm_up, max_divergence

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
        answer, index = Decoded.nothing(len(request.batch), device), CodeIndex(trie)
        for users in torch.arange(len(request.batch), device=device).split(
            max(_ENTRIES // (self.num_beams * int(index.count.max())), 1)
        ):
            filling = _Filling(generator, trie, index, request.rows(users), self.num_beams)
            filled = filling.run(in_order=False, warm_up=self.warm_up, max_divergence=self.max_divergence)
            answer = answer.with_rows(users, filling.listed(*filled))
            short = ((answer.items[users] != PAD).sum(dim=1) < request.k).nonzero().squeeze(1)
            if len(short):
                again = _Filling(generator, trie, index, request.rows(users[short]), self.num_beams)
                both = zip(filled, again.run(in_order=True), strict=True)
                merged = (torch.cat([first[short], second], dim=1) for first, second in both)
                answer = answer.with_rows(users[short], again.listed(*merged))
        return answer


class _Beams(NamedTuple):
    """Partial items.

    Args:
        filled: their codes, ``PAD`` where none is yet.
        scores: sums of log-probabilities at the time of filling; -inf where there is no beam.
        members: the IDs that agree with each, ``PAD`` after the end.
        parents: which beam of the step before each comes from.
    """

    filled: Int64[Tensor, "batch beams levels"]
    scores: Float[Tensor, "batch beams"]
    members: Int64[Tensor, "batch beams width"]
    parents: Int64[Tensor, "batch beams"]


class _Filling:
    """The search of some users."""

    def __init__(
        self, generator: MaskedGenerator, trie: PrefixTrie, index: CodeIndex, request: DecodingRequest, num_beams: int
    ) -> None:
        self.generator, self.index, self.request, self.num_beams = generator, index, request, num_beams
        self.trie, self.codes = trie, index.codes
        self.last_level = generator.last_level if isinstance(generator, FillsLast) else None
        self.steering = Steering(self.trie, request)
        everything = torch.arange(len(self.codes), device=self.codes.device).expand(len(request.batch), -1)
        leaves = everything + self.trie.level_starts[-2]
        self.everything = everything.unsqueeze(1)
        self.group = log_group_size(self.trie, leaves)
        self.offers = leaf_keys(
            self.trie, leaves, torch.zeros_like(self.group), self.steering
        )  # best bias; -inf: nothing to list
        self.alike = _alike(self.codes, self.last_level)

    def run(
        self, *, in_order: bool, warm_up: int | None = None, max_divergence: float | None = None
    ) -> tuple[Int64[Tensor, "batch beams"], Float[Tensor, "batch beams"]]:
        """The IDs of the last beams, and the scores of an item of each; -inf where a beam died."""
        num_levels, users = self.trie.num_levels, len(self.request.batch)
        state = self.generator.prefill(self.request.batch)
        device = self.codes.device
        filled = torch.full((users, 1, num_levels), PAD, device=device)
        beams = _Beams(filled, torch.zeros(users, 1, device=device), self.everything, filled[..., 0])
        predicted: list[Float[Tensor, "batch beams size"]] = []
        turns = [[level] for level in range(num_levels)] if in_order else self._turns()
        for turn, open_levels in enumerate(turns):
            is_last = turn == num_levels - 1
            if warm_up is not None and warm_up < turn and not is_last:
                continue
            logits = self.generator.fill(state, beams.filled)
            if max_divergence is not None:
                beams, predicted = self._keep_consistent(beams, predicted, logits, max_divergence)
            if turn == warm_up and not is_last:
                beams, predicted = self._fill_rest(logits, beams, open_levels), []
                if self.last_level is None:
                    break
            else:
                beams = self._fill_one(logits, beams, open_levels, turn, is_last)
        ids = beams.members[..., 0].clamp(min=0)
        return ids, beams.scores - self.group.gather(1, ids)

    def _turns(self) -> list[list[int]]:
        """The levels that each turn may fill."""
        levels = [level for level in range(self.trie.num_levels) if level != self.last_level]
        return [levels] * len(levels) + ([] if self.last_level is None else [[self.last_level]])

    def _keep_consistent(
        self, beams: _Beams, before: list[Tensor], logits: tuple[Tensor, ...], max_divergence: float
    ) -> tuple[_Beams, list[Tensor]]:
        """The beams without those whose last code changed the predictions, and what the levels predict now."""
        after = [of_level.float().softmax(dim=-1) for of_level in logits]
        if not before:
            return beams, after
        total, count = torch.zeros_like(beams.scores), torch.zeros_like(beams.scores)
        for level, (old, new) in enumerate(zip(before, after, strict=True)):
            if level != self.last_level:
                old = old.gather(1, beams.parents.unsqueeze(-1).expand(-1, -1, old.shape[2]))
                is_open = beams.filled[..., level] == PAD
                total, count = total + jensen_shannon(old, new) * is_open, count + is_open
        diverges = total > max_divergence * count.clamp(min=1)
        return beams._replace(scores=beams.scores.masked_fill(diverges, float("-inf"))), after

    def _fill_one(self, logits: tuple[Tensor, ...], beams: _Beams, open_levels: list[int], turn: int, is_last: bool) -> _Beams:
        """Every beam with one more (level, code) pair, whichever are best."""
        level_of, code_of = self.index.level_of, self.index.code_of
        offers = self.offers - self.group if is_last else self.offers
        grown, keys = self._grow(logits, beams, offers, open_levels)
        # A partial item is reached from at most turn + 1 others, so this many hold the best of enough distinct ones.
        best, index = keys.flatten(1).topk(min(self.num_beams * (turn + 1), keys[0].numel()), dim=1)
        parent, pair = index // len(level_of), index % len(level_of)
        partial = beams.filled.gather(1, parent.unsqueeze(-1).expand(-1, -1, self.trie.num_levels))
        partial = partial.scatter(2, level_of[pair].unsqueeze(-1), code_of[pair].unsqueeze(-1))
        best, best_rows = at_most(1, best, _equal_groups(partial)).topk(min(self.num_beams, best.shape[1]), dim=1)
        index, parent, pair = (values.gather(1, best_rows) for values in (index, parent, pair))
        filled = partial.gather(1, best_rows.unsqueeze(-1).expand(-1, -1, self.trie.num_levels))
        scores = grown.flatten(1).gather(1, index).masked_fill(best == float("-inf"), float("-inf"))
        if turn == 0:
            return _Beams(filled, scores, self.index.having(pair), parent)
        inherited = beams.members.gather(1, parent.unsqueeze(-1).expand(-1, -1, beams.members.shape[2]))
        agrees = self.codes[inherited.clamp(min=0), level_of[pair].unsqueeze(-1)] == code_of[pair].unsqueeze(-1)
        return _Beams(filled, scores, _compact(inherited, agrees & (inherited != PAD)), parent)

    def _fill_rest(self, logits: tuple[Tensor, ...], beams: _Beams, open_levels: list[int]) -> _Beams:
        """The best of all the IDs that agree with a beam; where a level is still to come, the best of all their other codes."""
        there, ids = beams.members != PAD, beams.members.clamp(min=0)
        total = beams.scores.unsqueeze(-1)
        for level, log_probs in self._log_probs(logits, beams, open_levels):
            lacking = (beams.filled[..., level] == PAD).unsqueeze(-1)
            total = total + torch.where(lacking, log_probs.gather(2, self.codes[ids, level]), 0.0)
        offers = self.offers if self.last_level is not None else self.offers - self.group
        keys = total + offers.gather(1, ids.flatten(1)).view_as(ids).masked_fill(~there, float("-inf"))
        flat = ids.flatten(1)
        best, index = at_most(1, keys.flatten(1), self.alike[flat]).topk(min(self.num_beams, flat.shape[1]), dim=1)
        best_ids, parent = flat.gather(1, index), index // ids.shape[2]
        filled = self.codes[best_ids]
        if self.last_level is not None:
            filled = filled.index_fill(2, torch.tensor([self.last_level], device=filled.device), PAD)
        scores = total.flatten(1).gather(1, index).masked_fill(best == float("-inf"), float("-inf"))
        inherited = beams.members.gather(1, parent.unsqueeze(-1).expand(-1, -1, ids.shape[2]))
        agrees = self.alike[inherited.clamp(min=0)] == self.alike[best_ids].unsqueeze(-1)
        return _Beams(filled, scores, _compact(inherited, agrees & (inherited != PAD)), parent)

    def listed(self, ids: Int64[Tensor, "batch some"], scores: Float[Tensor, "batch some"]) -> Decoded:
        """The answer; an ID that was found twice counts with its better score."""
        leaves = ids + self.trie.level_starts[-2]
        keys = at_most(1, leaf_keys(self.trie, leaves, scores, self.steering), ids)
        keys, order = keys.sort(dim=1, descending=True, stable=True)
        scores = scores.gather(1, order).masked_fill(keys == float("-inf"), float("-inf"))
        return items_of_leaves(self.trie, leaves.gather(1, order), scores, self.request.k, self.steering)

    def _grow(
        self, logits: tuple[Tensor, ...], beams: _Beams, offers: Float[Tensor, "batch ids"], open_levels: list[int]
    ) -> tuple[Float[Tensor, "batch beams pairs"], Float[Tensor, "batch beams pairs"]]:
        """Scores and keys of every beam with one more (level, code) pair; keys of what is closed are -inf."""
        members = beams.members.clamp(min=0)
        offered = offers.gather(1, members.flatten(1)).view_as(members).masked_fill(beams.members == PAD, float("-inf"))
        grown, keys = [], []
        for level, log_probs in self._log_probs(logits, beams, list(range(self.trie.num_levels))):
            best = torch.full_like(log_probs, float("-inf"), dtype=offers.dtype)
            best = best.scatter_reduce(2, self.codes[members, level], offered, "amax")
            grown.append(beams.scores.unsqueeze(-1) + log_probs)
            is_open = (best > float("-inf")) & (beams.filled[..., level] == PAD).unsqueeze(-1)
            keys.append(torch.where(is_open & (level in open_levels), grown[-1] + best, float("-inf")))
        return torch.cat(grown, dim=2), torch.cat(keys, dim=2)

    def _log_probs(
        self, logits: tuple[Tensor, ...], beams: _Beams, levels: list[int]
    ) -> Iterator[tuple[int, Float[Tensor, "batch beams size"]]]:
        """Of the codes of these levels; -inf for codes of no ID that agrees with the beam."""
        there, members = beams.members != PAD, beams.members.clamp(min=0)
        for level in levels:
            code, of_level = self.codes[members, level], logits[level].float()
            exists = torch.zeros_like(of_level, dtype=torch.uint8).scatter_reduce(2, code, there.byte(), "amax").bool()
            codes = torch.arange(of_level.shape[2], device=of_level.device).expand_as(of_level)
            yield level, child_log_probs(of_level, codes, exists, self.generator.normalization)


def jensen_shannon(first: Float[Tensor, "*rows size"], second: Float[Tensor, "*rows size"]) -> Float[Tensor, "*rows"]:
    """Divergence of two distributions from their mean, in nats: 0 for equal ones, log 2 for ones without a common outcome.

    >>> one, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    >>> round(float(jensen_shannon(one, one)), 4), round(float(jensen_shannon(one, other)), 4)
    (0.0, 0.6931)
    """
    return _entropy((first + second) / 2) - (_entropy(first) + _entropy(second)) / 2


def _entropy(shares: Float[Tensor, "*rows size"]) -> Float[Tensor, "*rows"]:
    return -torch.special.xlogy(shares, shares).sum(dim=-1)


def _alike(codes: Int64[Tensor, "ids levels"], last_level: int | None) -> Int64[Tensor, " ids"]:
    """A number for each ID; those that differ in the last level alone have equal numbers."""
    if last_level is None:
        return torch.arange(len(codes), device=codes.device)
    others = [level for level in range(codes.shape[1]) if level != last_level]
    return torch.unique(codes[:, others], dim=0, return_inverse=True)[1]


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
