"""Ranks the whole catalogue by an item scorer's scores; no trie."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch

from genrec.protocols import Decoded, DecodingRequest, ItemScorer
from genrec.trie import PrefixTrie
from genrec.types import PAD


class FullRanking:
    """The ``k`` best of all items."""

    kind: ClassVar[Literal["item_scorer"]] = "item_scorer"

    def check(self, k: int) -> None:
        """Any number of items can be ranked."""

    @torch.inference_mode()
    def decode(self, generator: ItemScorer, trie: PrefixTrie | None, request: DecodingRequest) -> Decoded:
        """Ranks all items for every history and returns the first ``request.k``."""
        scores = generator.score(request.batch).float()
        if request.bias is not None:
            scores = scores + request.bias
        if request.allowed is not None:
            scores = scores.masked_fill(~request.allowed, float("-inf"))
        if request.seen is not None:
            # One column more than there are items takes the padding.
            padded = torch.nn.functional.pad(scores, (0, 1))
            index = torch.where(request.seen == PAD, scores.shape[1], request.seen)
            scores = padded.scatter(1, index, float("-inf"))[:, :-1]
        scores, items = scores.topk(min(request.k, scores.shape[1]), dim=1)
        live = scores > float("-inf")
        rank = torch.arange(1, scores.shape[1] + 1, device=scores.device).expand_as(items)
        return Decoded(
            items=torch.where(live, items, PAD),
            scores=scores,
            tie_start=torch.where(live, rank, PAD),
            tie_size=torch.where(live, 1, PAD),
        )
