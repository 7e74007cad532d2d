"""Guidance: the model with what is asked for, and the same model without it, mixed at every step of a search.

Classifier-free guidance on codes (see docs/methods/guided.md).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch

from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.guidance import GuidedGenerator, asks
from genrec.errors import ConfigError
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest, DecodingStrategy, HasMoreItems


class Guided:
    """Searches with logits ``u + strength * (c - u)``: ``c`` with the request (its words and columns), ``u`` without.

    The mixture is normalized over the trie by the search, as a generator's logits always are. 0 lists what is listed without a
    request, 1 what is listed with it, both to the bit; above 1 the request counts more than the model gives it, below 0 the
    list moves away from it. Twice the steps of the search; where nothing is asked for, the search as it is.
    What a caller refuses ("not perfume") is a third model ``n``, taken away: ``- strength * (n - u)``.

    Args:
        strategy: does the search, code by code.
        strength: of the request.

    Raises:
        ConfigError: for a strategy of another kind, and a strength that is no finite number.
    """

    kind: ClassVar[Literal["autoregressive"]] = "autoregressive"

    def __init__(self, *, strategy: DecodingStrategy, strength: float = 1.5) -> None:
        if strategy.kind != "autoregressive":
            expected, got = "one that searches code by code", f"{type(strategy).__name__} ({strategy.kind})"
            raise ConfigError("decoding.strategy", expected=expected, got=got, fix="choose genrec.decoding.trie_beam.TrieBeam")
        if not abs(strength) < float("inf"):
            raise ConfigError("decoding.strength", expected="a finite number", got=strength, fix="choose one from 0 to 4")
        self.strategy, self.strength = strategy, strength

    @property
    def at_hand(self) -> int:
        """The number of items that may be asked for at no further cost."""
        return self.strategy.at_hand if isinstance(self.strategy, HasMoreItems) else 0

    def check(self, k: int) -> None:
        """Raises ConfigError when the strategy cannot give ``k`` items."""
        self.strategy.check(k)

    @torch.inference_mode()
    def decode(self, generator: AutoregressiveGenerator, trie: PrefixTrie, request: DecodingRequest) -> Decoded:
        """Decodes ``request.k`` items for every history of the batch."""
        is_guided = asks(request.batch)
        return self.strategy.decode(GuidedGenerator(generator, self.strength) if is_guided else generator, trie, request)
