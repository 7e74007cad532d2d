"""Places in lists for items that came after the generator was trained, where their content fits: around any strategy.

A generator ranks such items too, by codes that it knows, but it has learned from every history that they are never next, so
hardly any is listed. What a history says about them is what their content says. (TIGER's answer is of this kind, too: a share
of every list for items that were not in training. Here only users whose history is near a new item get it.) Own design: see
docs/methods/new_item_slots.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from genrec.decoding.lib.candidates import best_items, rank_items, ranking_keys
from genrec.decoding.lib.new_item_reach import DECAY, LAST, SAFE_REACH, tastes, thresholds
from genrec.protocols import Decoded, DecodingRequest, DecodingStrategy
from genrec.types import PAD, Decodes


class NewItemQuota:
    """The strategy's ``k`` best items, of which up to ``int(share * k)`` are new, as many as fit the history.

    A new item fits when the history is within its reach (see ``genrec.decoding.lib.new_item_reach``); an empty history is in
    nobody's. New items that the strategy lists by itself count. Those that are missing are the nearest by content to the
    history's last items; they take the places of the last other items, and have the scores that the strategy gives them.

    Args:
        strategy: does the search.
        vectors: [items, dim] of content, scaled to length one here; the new items are the last rows.
        num_trained: items that the generator was trained with; the rest are new items.
        share: of the list that new items have at most by their content, in [0, 1].
        reach: share of the trained items that may be more like a new item than a history is.
        last: how many of the most recent items of a history count.
        decay: weight of an item relative to the next more recent one.
    """

    def __init__(
        self,
        strategy: DecodingStrategy,
        *,
        vectors: Float[np.ndarray, "items dim"],
        num_trained: int,
        share: float,
        reach: float = SAFE_REACH,
        last: int = LAST,
        decay: float = DECAY,
    ) -> None:
        self.strategy, self.num_trained, self.share, self.reach = strategy, num_trained, share, reach
        self.last, self.decay = last, decay
        self.vectors = torch.nn.functional.normalize(torch.from_numpy(np.array(vectors, dtype=np.float32)), dim=1)

    @property
    def kind(self) -> Decodes:
        return self.strategy.kind

    def check(self, k: int) -> None:
        """Raises ConfigError when the strategy cannot give ``k`` items."""
        self.strategy.check(k)

    @torch.inference_mode()
    def decode(self, generator: Any, trie: Any, request: DecodingRequest) -> Decoded:
        """Decodes up to ``request.k`` items for every history of the batch."""
        answer = self.strategy.decode(generator, trie, request)
        chosen = self._missing_items(answer, request)
        users = chosen.any(dim=1).nonzero().squeeze(1)
        if not len(users):
            return answer
        number = chosen[users].sum(dim=1)
        additions = self.strategy.decode(
            generator, trie, replace(request.rows(users), allowed=chosen[users], k=int(number.max()))
        )
        lists = answer.rows(users)
        remaining = lists.items.masked_fill(self._is_replaced(lists, request.k, number), PAD)
        items, scores = torch.cat([remaining, additions.items], dim=1), torch.cat([lists.scores, additions.scores], dim=1)
        return answer.with_rows(users, rank_items(items, scores, request.k))

    @cached_property
    def thresholds(self) -> Float[Tensor, " new_items"]:
        """Returns the cosine from which on a history is within reach of each new item."""
        return thresholds(self.vectors[self.num_trained :], self.vectors[: self.num_trained], self.reach)

    def content_scores(self, request: DecodingRequest) -> Float[Tensor, "batch items"]:
        """Cosine of each new item to the history's last items, recent ones weighing more; -inf for all that do not fit."""
        history = request.batch.history
        vectors = self.vectors.to(history.device)
        taste = tastes(history, request.batch.lengths, vectors, last=self.last, decay=self.decay)
        near = taste @ vectors[self.num_trained :].T
        fits = (near >= self.thresholds.to(near.device)) & taste.any(dim=1, keepdim=True)
        scores = near.new_full((len(history), len(vectors)), float("-inf"))
        scores[:, self.num_trained :] = near.masked_fill(~fits, float("-inf"))
        return scores

    def _missing_items(self, answer: Decoded, request: DecodingRequest) -> Bool[Tensor, "batch items"]:
        """The new items that should be listed and are not."""
        inside = (answer.items != PAD) & (torch.arange(answer.items.shape[1], device=answer.items.device) < request.k)
        listed = torch.where(inside & (answer.items >= self.num_trained), answer.items, PAD)
        scores = ranking_keys(self.content_scores(request), replace(request, bias=None))
        padded = torch.nn.functional.pad(scores, (0, 1))  # one column more takes the padding
        scores = padded.scatter(1, torch.where(listed == PAD, scores.shape[1], listed), float("-inf"))[:, :-1]
        best = best_items(scores, int(self.share * request.k))
        room = int(self.share * request.k) - (listed != PAD).sum(dim=1, keepdim=True)
        is_missing = (best != PAD) & (torch.arange(best.shape[1], device=best.device) < room)
        chosen = torch.zeros(*scores.shape[:1], scores.shape[1] + 1, dtype=torch.bool, device=scores.device)
        return chosen.scatter_(1, torch.where(is_missing, best, scores.shape[1]), True)[:, :-1]

    def _is_replaced(self, lists: Decoded, k: int, number: Int64[Tensor, " users"]) -> Bool[Tensor, "users slots"]:
        """Returns which entries make room: what stands beyond ``k``, and the last entries that are no new items."""
        inside = (lists.items != PAD) & (torch.arange(lists.items.shape[1], device=lists.items.device) < k)
        others = inside & (lists.items < self.num_trained)
        surplus = (inside.sum(dim=1) + number - k).clamp(min=0).unsqueeze(1)
        from_the_end = others.flip(1).cumsum(dim=1).flip(1)  # 1 for the last other
        return ~inside | (others & (from_the_end <= surplus))


def content_sources(vectors: Mapping[str, np.ndarray], joint: str, num_trained: int) -> list[str]:
    """The sources that new items are compared by: those that know them; the joint vectors where it has no sources.

    Without new items, all sources.
    """
    sources = [
        name for name, rows in vectors.items() if name != joint and (num_trained >= len(rows) or rows[num_trained:].any())
    ]
    return sources or [joint]


def content_of(vectors: Mapping[str, np.ndarray], joint: str, num_trained: int) -> Float[np.ndarray, "items dim"]:
    """Returns what new items are compared by: the sources that know them, side by side.

    Args:
        vectors: source -> [items, dim].
        joint: the name of the encoder's joint vectors.
        num_trained: the rows after it are the new items.
    """
    sources = content_sources(vectors, joint, num_trained)
    if sources == [joint]:
        return vectors[joint]
    return np.concatenate([_unit(vectors[name]) for name in sources], axis=1)


def _unit(rows: np.ndarray) -> np.ndarray:
    unit: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit
