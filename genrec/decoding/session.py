"""A list that is written as sessions are: each item given those before it (OneRec; see docs/methods/onerec.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import torch

from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.search import Best, search
from genrec.errors import ConfigError
from genrec.protocols import Decoded, DecodingRequest, SessionGenerator
from genrec.types import PAD


class Session:
    """Writes the best next item, then the best one after it, and so on, over the trie without what the list has already.

    A list longer than ``generator.session_len`` is several sessions: when one is full, the next starts from the history again,
    and again without what is listed. Each item is the best of a beam search of its own, so the list is greedy: no later item
    changes an earlier one. Scores are log-probabilities of the list up to and with the item (and its bias); they never rise.
    Items that share an ID are listed one by one, in the order of the catalogue.

    Args:
        num_beams: prefixes kept per user while an item is searched.
    """

    kind: ClassVar[Literal["session"]] = "session"

    def __init__(self, *, num_beams: int = 10) -> None:
        if num_beams < 1:
            raise ConfigError("decoding.num_beams", expected="at least 1", got=num_beams, fix="raise it")
        self.num_beams = num_beams

    def check(self, k: int) -> None:
        """Lists of any length can be written."""

    @torch.inference_mode()
    def decode(self, generator: SessionGenerator, trie: PrefixTrie, request: DecodingRequest) -> Decoded:
        """Decodes ``request.k`` items for every history of the batch."""
        device = request.batch.history.device
        seen = request.batch.history[:, :0] if request.seen is None else request.seen
        listed = torch.empty(len(request.batch), 0, dtype=torch.long, device=device)
        scores = torch.empty(len(request.batch), 0, device=device)
        state = start = generator.prefill(request.batch)
        for rank in range(request.k):
            opens = rank % generator.session_len == 0
            state = start if opens else generator.written(state, listed[:, -1].clamp(min=0))
            left = replace(request, k=1, seen=torch.cat([seen, listed], dim=1))
            best = search(generator, trie, left, Best(self.num_beams), state)
            listed = torch.cat([listed, best.items[:, :1]], dim=1)
            scores = torch.cat([scores, best.scores[:, :1]], dim=1)
        live, ranks = listed != PAD, torch.arange(1, request.k + 1, device=device).expand_as(listed)
        scores = scores.cumsum(dim=1).cummin(dim=1).values
        return Decoded(listed, scores, torch.where(live, ranks, PAD), torch.where(live, 1, PAD))
