"""A generator that is several: one hears what is asked for, one does not, one hears what is refused; their logits are mixed."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.protocols import (
    AutoregressiveGenerator,
    Decoded,
    DecodingRequest,
    DecodingStrategy,
    HasItemHead,
    HasMoreItems,
    ItemScorer,
    TargetLogits,
    WrapsStrategy,
)
from genrec.types import Decodes


@dataclass(frozen=True)
class GuidedState:
    """The states of the generators: with what is asked for, without, and with what is refused, where something is."""

    asking: Any
    silent: Any
    refusing: Any = None


class _Mixture:
    """The part that generators of all kinds share.

    Args:
        generator: in eval mode.
        strength: of what is asked for, and of what is refused.
    """

    def __init__(self, generator: Any, strength: float) -> None:
        self.generator, self.strength, self.needs = generator, strength, generator.needs
        self.max_history_len = generator.max_history_len
        self.is_named = True

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """The weights of the generator."""
        weights: Iterator[torch.nn.Parameter] = self.generator.parameters()
        return weights

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Teacher-forced logits of the mixture at every target of the batch."""
        logits = [None if one is None else self.generator.target_logits(one) for one in _variants(batch)]
        levels = [() if one is None else one.levels for one in logits]
        refusing = levels[2] or (None,) * len(levels[0])
        return TargetLogits(logits[0].items, tuple(map(self._mixed, levels[0], levels[1], refusing)))  # type: ignore[union-attr]

    @property
    def has_item_head(self) -> bool:
        """Whether the generator has a dense item head."""
        return isinstance(self.generator, HasItemHead) and self.generator.has_item_head

    def item_table(self) -> Float[Tensor, "items dim"]:
        """Returns the vectors of the items."""
        table: Tensor = self.generator.item_table()
        return table

    def item_scores(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """Scores of the item head, mixed."""
        return self._mixed(*(None if one is None else self.generator.item_scores(one) for one in _variants(batch)))

    def _mixed(self, asking: Tensor | None, silent: Tensor | None, refusing: Tensor | None = None) -> Tensor:
        assert asking is not None
        assert silent is not None
        # lerp is exact at both ends, where silent + strength * (asking - silent) is rounded
        mixed = torch.lerp(silent.float(), asking.float(), self.strength)
        return mixed if refusing is None else mixed - self.strength * (refusing.float() - silent.float())


class GuidedGenerator(_Mixture):
    """An autoregressive generator that hears the request with a strength of its own."""

    def __init__(self, generator: AutoregressiveGenerator, strength: float) -> None:
        super().__init__(generator, strength)
        self.normalization, self.sids = generator.normalization, generator.sids

    def prefill(self, batch: Batch) -> GuidedState:
        """Encodes each history once for each of the generators."""
        return GuidedState(*(None if one is None else self.generator.prefill(one) for one in _variants(batch)))

    def step(
        self, state: GuidedState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], GuidedState]:
        """Predicts the next level by all of them."""
        asking, asking_state = self.generator.step(state.asking, codes)
        silent, silent_state = self.generator.step(state.silent, codes)
        if state.refusing is None:
            return self._mixed(asking, silent), GuidedState(asking_state, silent_state)
        refusing, refusing_state = self.generator.step(state.refusing, codes)
        return self._mixed(asking, silent, refusing), GuidedState(asking_state, silent_state, refusing_state)

    def reorder(self, state: GuidedState, index: Int64[Tensor, "batch beams"]) -> GuidedState:
        """All keep the same beams."""
        states = (state.asking, state.silent, state.refusing)
        return GuidedState(*(None if one is None else self.generator.reorder(one, index) for one in states))


class GuidedScorer(_Mixture):
    """An item scorer that hears the request with a strength of its own."""

    def score(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """Scores of all items, mixed."""
        return self._mixed(*(None if one is None else self.generator.score(one) for one in _variants(batch)))


def _variants(batch: Batch) -> tuple[Batch, Batch, Batch | None]:
    """Returns the batch with what is asked for, without it, and with what is refused in its place; None: nothing is."""
    silent = batch.without_request()
    refusing = None if batch.refused is None else replace(silent, given=batch.refused)
    return replace(batch, refused=None), silent, refusing


def asks(batch: Batch) -> bool:
    """Returns whether a batch says anything that guidance could weigh."""
    return bool(batch.request) or batch.given is not None or batch.refused is not None


def guided(generator: Any, strength: float | None) -> GuidedGenerator | GuidedScorer:
    """Returns the generator with guidance.

    Args:
        generator: perhaps guided already: then the strength that somebody named around this one comes first.
        strength: None: nobody named one, which counts as 1 until a strategy inside has its own.

    Raises:
        ConfigError: for one that neither writes IDs code by code nor scores items.
    """
    if isinstance(generator, GuidedGenerator | GuidedScorer):
        return generator if generator.is_named or strength is None else guided(generator.generator, strength)
    mixed: GuidedGenerator | GuidedScorer | None = None
    if isinstance(generator, AutoregressiveGenerator):
        mixed = GuidedGenerator(generator, 1.0 if strength is None else strength)
    elif isinstance(generator, ItemScorer):
        mixed = GuidedScorer(generator, 1.0 if strength is None else strength)
    if mixed is not None:
        mixed.is_named = strength is not None
        return mixed
    expected, fix = "a generator that writes IDs code by code, or scores items", "leave guidance and 'not ...' out"
    raise ConfigError("guidance", expected=expected, got=type(generator).__name__, fix=fix)


class RequestGuidance:
    """Guidance that one request asks for, around any strategy of a package.

    Args:
        strategy: does the search.
        strength: as in ``guided``.
    """

    def __init__(self, strategy: DecodingStrategy, strength: float | None) -> None:
        self.strategy, self.strength = strategy, strength

    @property
    def kind(self) -> Decodes:
        """Which generators it fits: those of the strategy."""
        return self.strategy.kind

    @property
    def at_hand(self) -> int:
        """The number of items that may be asked for at no further cost."""
        return self.strategy.at_hand if isinstance(self.strategy, HasMoreItems) else 0

    def check(self, k: int) -> None:
        """Raises ConfigError when the strategy cannot give ``k`` items."""
        self.strategy.check(k)

    @torch.inference_mode()
    def decode(self, generator: Any, trie: PrefixTrie | None, request: DecodingRequest) -> Decoded:
        """Decodes ``request.k`` items for every history of the batch."""
        if not asks(request.batch):
            return self.strategy.decode(generator, trie, request)
        return self.strategy.decode(guided(generator, self.strength), trie, request)


def with_strength(strategy: DecodingStrategy, strength: float | None) -> DecodingStrategy:
    """Returns a strategy whose guidance has another strength: the one inside, or one around it where there is none.

    Args:
        strategy: perhaps with a strategy inside that guides (it has a ``strength``).
        strength: None: of the one inside, or of a member that has its own, or 1.
    """
    inside: Any = strategy
    while isinstance(inside, WrapsStrategy) and not hasattr(inside, "strength"):
        inside = inside.strategy
    if not hasattr(inside, "strength"):
        return RequestGuidance(strategy, strength)
    return strategy if strength is None else _replaced(strategy, strength)


def mixture(generator: Any, strategy: DecodingStrategy) -> tuple[Any, DecodingStrategy]:
    """Returns a strategy's search without its guidance, and the generator whose logits it sees; both as they are without one.

    Args:
        generator: to be decoded.
        strategy: perhaps one that guides: it has a ``strength`` and a strategy inside.
    """
    if not (isinstance(strategy, WrapsStrategy) and hasattr(strategy, "strength")):
        return generator, strategy
    return guided(generator, strategy.strength), strategy.strategy


def _replaced(strategy: Any, strength: float) -> Any:
    changed = copy(strategy)
    if hasattr(strategy, "strength"):
        changed.strength = strength
    else:
        changed.strategy = _replaced(strategy.strategy, strength)
    return changed
