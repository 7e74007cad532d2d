"""Ranks the whole catalogue by an item scorer's scores; no trie."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch

from genrec.decoding.candidates import restricted
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
        scores = restricted(generator.score(request.batch).float(), request)
        scores, items = scores.topk(min(request.k, scores.shape[1]), dim=1)
        live = scores > float("-inf")
        rank = torch.arange(1, scores.shape[1] + 1, device=scores.device).expand_as(items)
        return Decoded(
            items=torch.where(live, items, PAD),
            scores=scores,
            tie_start=torch.where(live, rank, PAD),
            tie_size=torch.where(live, 1, PAD),
        )
