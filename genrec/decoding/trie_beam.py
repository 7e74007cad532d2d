"""Beam search over the catalogue's trie (default): batched, deterministic, nothing but existing items.

See docs/methods/trie_search.md.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from genrec.decoding.search import Best, search
from genrec.errors import ConfigError
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest
from genrec.trie import PrefixTrie


class TrieBeam:
    """Keeps the ``num_beams`` most probable prefixes per level.

    Exact when no level has more than ``num_beams`` open prefixes. Returns ``k`` items whenever ``k`` are allowed: closed
    prefixes take no beam, so at least ``min(num_beams, open prefixes)`` live ones survive every level.

    Args:
        num_beams: prefixes kept per user; at least k.
    """

    kind: ClassVar[Literal["autoregressive"]] = "autoregressive"

    def __init__(self, *, num_beams: int = 50) -> None:
        self.num_beams = num_beams

    @property
    def at_hand(self) -> int:
        """As many items may be asked for at no further cost."""
        return self.num_beams

    def check(self, k: int) -> None:
        """Raises ConfigError when fewer beams than wanted items are kept."""
        enough_beams(self.num_beams, k)

    def decode(self, generator: AutoregressiveGenerator, trie: PrefixTrie, request: DecodingRequest) -> Decoded:
        """Decodes ``request.k`` items for every history of the batch."""
        self.check(request.k)
        return search(generator, trie, request, Best(self.num_beams))


def enough_beams(num_beams: int, k: int) -> None:
    """Raises ``ConfigError`` when fewer beams are kept than items are wanted: each ends at one ID."""
    if num_beams < k:
        raise ConfigError(
            "decoding.num_beams",
            expected=f"at least recommend.k = {k}",
            got=num_beams,
            fix="raise it or ask for fewer",
        )
