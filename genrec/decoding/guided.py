"""Guidance: the model with what is asked for, and the same model without it, mixed at every step of a search.

Classifier-free guidance on codes (see docs/methods/guided.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest, DecodingStrategy, HasMoreItems, TargetLogits


class Guided:
    """Searches with logits ``u + strength * (c - u)``: ``c`` with the request (its words and columns), ``u`` without.

    The mixture is normalized over the trie by the search, as a generator's logits always are. 0 lists what is listed without a
    request, 1 what is listed with it, both to the bit; above 1 the request counts more than the model gives it, below 0 the
    list moves away from it. Twice the steps of the search; where nothing is asked for, the search as it is.

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
        asks = bool(request.batch.request) or request.batch.given is not None
        return self.strategy.decode(GuidedGenerator(generator, self.strength) if asks else generator, trie, request)


@dataclass(frozen=True)
class GuidedState:
    """The states of the two: with what is asked for, and without."""

    asking: Any
    silent: Any


class GuidedGenerator:
    """An autoregressive generator that is two: one hears the request, and the logits of both are mixed.

    Args:
        generator: in eval mode.
        strength: of the request.
    """

    def __init__(self, generator: AutoregressiveGenerator, strength: float) -> None:
        self.generator, self.strength, self.needs = generator, strength, generator.needs
        self.normalization, self.sids, self.max_history_len = generator.normalization, generator.sids, generator.max_history_len

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Teacher-forced logits of the mixture at every target of the batch."""
        asking, silent = self.generator.target_logits(batch), self.generator.target_logits(batch.without_request())
        return TargetLogits(asking.items, tuple(map(self._mixed, asking.levels, silent.levels)))

    def prefill(self, batch: Batch) -> GuidedState:
        """Encodes each history twice."""
        return GuidedState(self.generator.prefill(batch), self.generator.prefill(batch.without_request()))

    def step(
        self, state: GuidedState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], GuidedState]:
        """Predicts the next level by both."""
        asking, asking_state = self.generator.step(state.asking, codes)
        silent, silent_state = self.generator.step(state.silent, codes)
        return self._mixed(asking, silent), GuidedState(asking_state, silent_state)

    def reorder(self, state: GuidedState, index: Int64[Tensor, "batch beams"]) -> GuidedState:
        """Both keep the same beams."""
        return GuidedState(self.generator.reorder(state.asking, index), self.generator.reorder(state.silent, index))

    def _mixed(self, asking: Tensor, silent: Tensor) -> Tensor:
        # lerp is exact at both ends, where silent + strength * (asking - silent) is rounded
        return torch.lerp(silent.float(), asking.float(), self.strength)
