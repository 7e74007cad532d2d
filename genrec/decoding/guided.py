"""Guidance: the model with what is asked for, and the same model without it, mixed at every step of a search.

Classifier-free guidance on codes, or on the scores of all items (see docs/methods/guided.md).
"""

from __future__ import annotations

from genrec.decoding.lib.guidance import RequestGuidance
from genrec.errors import ConfigError
from genrec.protocols import DecodingStrategy


class Guided(RequestGuidance):
    """Searches with logits ``u + strength * (c - u)``: ``c`` with the request (its words and columns), ``u`` without.

    The mixture is normalized over the trie by the search, as a generator's logits always are; an item scorer's are ranked. 0
    lists what is listed without a request, 1 what is listed with it, both to the bit; above 1 the request counts more than the
    model gives it, below 0 the list moves away from it. Twice the steps of the search; where nothing is asked for, the search
    as it is.
    What a caller refuses ("not perfume") is a third model ``n``, taken away: ``- strength * (n - u)``.

    Args:
        strategy: does the search: code by code, or over the scores of all items.
        strength: of the request.

    Raises:
        ConfigError: for a strategy of another kind, and a strength that is no finite number.
    """

    def __init__(self, *, strategy: DecodingStrategy, strength: float = 1.5) -> None:
        if strategy.kind not in ("autoregressive", "item_scorer"):
            expected, got = "one that searches code by code, or ranks scores", f"{type(strategy).__name__} ({strategy.kind})"
            fix = "choose genrec.decoding.trie_beam.TrieBeam or genrec.decoding.full_ranking.FullRanking"
            raise ConfigError("decoding.strategy", expected=expected, got=got, fix=fix)
        if not abs(strength) < float("inf"):
            raise ConfigError("decoding.strength", expected="a finite number", got=strength, fix="choose one from 0 to 4")
        super().__init__(strategy, strength)
