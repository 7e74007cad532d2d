"""The exact ``k`` best items without scoring the catalogue.

A best-first search stops when no open prefix can beat the k-th item found. Ours gets there level by level, so that users stay
batched: a beam search remembers the best prefix that it let go, and where that one could still lead to something better than
the k-th item, the search is repeated with more beams. A prefix bounds everything below it, because log-probabilities only fall.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch

from genrec.decoding.search import Best, search
from genrec.errors import ConfigError
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest
from genrec.trie import PrefixTrie
from genrec.types import PAD

_WIDEN = 4
_AT_ONCE = 1 << 13  # beams of all users together, so that wide searches take few users at a time


class BestFirst:
    """Exact top-k by widening beams.

    Args:
        num_beams: to begin with; what most users need.
    """

    kind: ClassVar[Literal["autoregressive"]] = "autoregressive"

    def __init__(self, *, num_beams: int = 50) -> None:
        if num_beams < 1:
            raise ConfigError("decoding.num_beams", expected="at least 1", got=num_beams, fix="raise it")
        self.num_beams = num_beams

    def check(self, k: int) -> None:
        """Any number of items can be found."""

    @torch.inference_mode()
    def decode(self, generator: AutoregressiveGenerator, trie: PrefixTrie, request: DecodingRequest) -> Decoded:
        """Decodes the ``request.k`` best items for every history of the batch."""
        device = request.batch.history.device
        shape = (len(request.batch), request.k + trie.max_group - 1)
        items, tie_start, tie_size = (torch.full(shape, PAD, device=device) for _ in range(3))
        answer = Decoded(items, torch.full(shape, float("-inf"), device=device), tie_start, tie_size)
        open_users, num_beams = torch.arange(len(request.batch), device=device), self.num_beams
        while len(open_users):
            parts = open_users.split(max(_AT_ONCE // num_beams, 1))
            open_users = torch.cat([self._search(generator, trie, request, users, num_beams, answer) for users in parts])
            num_beams *= _WIDEN
        return answer

    @staticmethod
    def _search(
        generator: AutoregressiveGenerator,
        trie: PrefixTrie,
        request: DecodingRequest,
        users: torch.Tensor,
        num_beams: int,
        answer: Decoded,
    ) -> torch.Tensor:
        """Fills in the rows of ``users``; returns those for whom something better may have been let go."""
        best = Best(num_beams)
        found = search(generator, trie, request.rows(users), best)
        for name in ("items", "scores", "tie_start", "tie_size"):
            getattr(answer, name)[users] = getattr(found, name)
        if best.dropped is None:
            return users[:0]
        return users[best.dropped > found.scores[:, request.k - 1]]
