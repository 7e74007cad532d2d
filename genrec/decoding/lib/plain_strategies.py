"""Beam search and full ranking, the two strategies that others start from."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.candidates import ranking_keys
from genrec.decoding.lib.search import Best, enough_beams, search
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest, ItemScorer
from genrec.types import PAD


class BeamSearch:
    """Keeps the most probable prefixes; ``TrieBeam`` says what the parameters mean."""

    kind: ClassVar[Literal["autoregressive"]] = "autoregressive"

    def __init__(self, *, num_beams: int = 50) -> None:
        self.num_beams = num_beams

    @property
    def at_hand(self) -> int:
        """The number of items that may be asked for at no further cost."""
        return self.num_beams

    def check(self, k: int) -> None:
        """Raises ConfigError when fewer beams than wanted items are kept."""
        enough_beams(self.num_beams, k)

    def decode(self, generator: AutoregressiveGenerator, trie: PrefixTrie, request: DecodingRequest) -> Decoded:
        """Decodes ``request.k`` items for every history of the batch."""
        self.check(request.k)
        return search(generator, trie, request, Best(self.num_beams))


_MOST_TIED = 1000


class ScoreRanking:
    """Ranks all items by their scores; ``FullRanking`` says how ties are listed."""

    kind: ClassVar[Literal["item_scorer"]] = "item_scorer"

    def check(self, k: int) -> None:
        """Any number of items can be ranked."""

    @torch.inference_mode()
    def decode(self, generator: ItemScorer, trie: PrefixTrie | None, request: DecodingRequest) -> Decoded:
        """Ranks all items for every history and returns the first ``request.k``, and what is tied with the last of them."""
        return self.ranked(generator.score(request.batch).float(), request)

    @staticmethod
    def ranked(scores: Float[Tensor, "batch items"], request: DecodingRequest) -> Decoded:
        """Returns the lists of some scores."""
        every = ranking_keys(scores, request)
        k = min(request.k, every.shape[1])
        best, items = every.topk(k, dim=1)
        last = best[:, -1:]
        tied = ((every == last) & (last > float("-inf"))).sum(1) - (best == last).sum(1)  # of the last score, beyond k
        more = min(int(tied.clamp(min=0).max()), _MOST_TIED)
        if more:
            best, items = every.topk(k + more, dim=1)
            beyond = torch.arange(k + more, device=best.device) >= k
            best = best.masked_fill(beyond & (best != last), float("-inf"))
        live = best > float("-inf")
        start, size = _groups(best)
        return Decoded(
            items=torch.where(live, items, PAD),
            scores=best,
            tie_start=torch.where(live, start, PAD),
            tie_size=torch.where(live, size, PAD),
        )


def _groups(scores: Float[Tensor, "batch k"]) -> tuple[Int64[Tensor, "batch k"], Int64[Tensor, "batch k"]]:
    """Returns, of descending scores, the rank at which each one's group of equals starts, from 1, and the group's size."""
    position = torch.arange(scores.shape[1], device=scores.device).expand(scores.shape)
    opens = torch.ones_like(scores, dtype=torch.bool)
    opens[:, 1:] = scores[:, 1:] != scores[:, :-1]
    start = torch.where(opens, position, 0).cummax(dim=1).values
    size = torch.zeros_like(position).scatter_add(1, start, torch.ones_like(position)).gather(1, start)
    return start + 1, size
