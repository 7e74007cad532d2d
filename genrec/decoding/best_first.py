"""The exact ``k`` best items without scoring the catalogue.

A best-first search stops when no open prefix can beat the k-th item found. Ours gets there level by level, so that users stay
batched: a beam search remembers the best prefix that it let go, and where that one could still lead to something better than
the k-th item, the search is repeated with more beams. A prefix bounds everything below it, because log-probabilities only fall.
Own design: see docs/methods/trie_search.md.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch

from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.search import Best, search
from genrec.errors import ConfigError
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest

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
        answer = Decoded.nothing(len(request.batch), device)
        open_users, num_beams = torch.arange(len(request.batch), device=device), self.num_beams
        while len(open_users):
            again = []
            for users in open_users.split(max(_AT_ONCE // num_beams, 1)):
                best = Best(num_beams)
                lists = search(generator, trie, request.rows(users), best)
                answer = answer.with_rows(users, lists)
                if best.dropped is not None:  # something better may have been let go
                    again.append(users[best.dropped > lists.scores[:, request.k - 1]])
            open_users = torch.cat([open_users[:0], *again])
            num_beams *= _WIDEN
        return answer
