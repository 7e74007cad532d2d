"""Decoding strategies, which turn a generator's predictions into lists of items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from genrec.core.batch import Batch
from genrec.errors import ConfigError
from genrec.types import PAD, Decodes


@dataclass(frozen=True)
class Decoded:
    """Ranked items of each user; rows may end early (``PAD``, score -inf).

    Args:
        items: [batch, slots] item_idx, best first; a last tie group is listed whole, so slots >= k.
        scores: [batch, slots], log-probabilities for autoregressive generators.
        tie_start: [batch, slots] 1-based rank at which the entry's group of equal items starts.
        tie_size: [batch, slots] listed size of that group; 1 wherever every item has its own ID.
        members: from strategies that fuse several rankings, each one alone by name.
    """

    items: Int64[Tensor, "batch slots"]
    scores: Float[Tensor, "batch slots"]
    tie_start: Int64[Tensor, "batch slots"]
    tie_size: Int64[Tensor, "batch slots"]
    members: Mapping[str, Decoded] = field(default_factory=dict)

    @classmethod
    def nothing(cls, users: int, device: torch.device) -> Decoded:
        """Returns empty lists."""
        ranks = torch.empty(users, 0, dtype=torch.long, device=device)
        return cls(ranks, torch.empty(users, 0, device=device), ranks, ranks)

    def rows(self, users: Int64[Tensor, " some"]) -> Decoded:
        """Returns the lists of some users, without members."""
        return Decoded(self.items[users], self.scores[users], self.tie_start[users], self.tie_size[users])

    def with_rows(self, users: Int64[Tensor, " some"], lists: Decoded) -> Decoded:
        """Returns the lists with those of some users replaced; the wider of the two decides the number of slots."""
        width = max(self.items.shape[1], lists.items.shape[1])

        def place_rows(ours: Tensor, theirs: Tensor, empty: float) -> Tensor:
            ours, theirs = (torch.nn.functional.pad(x, (0, width - x.shape[1]), value=empty) for x in (ours, theirs))
            return ours.index_copy(0, users, theirs.to(ours.dtype))

        return replace(
            self,
            items=place_rows(self.items, lists.items, PAD),
            scores=place_rows(self.scores, lists.scores, float("-inf")),
            tie_start=place_rows(self.tie_start, lists.tie_start, PAD),
            tie_size=place_rows(self.tie_size, lists.tie_size, PAD),
        )


@dataclass(frozen=True)
class DecodingRequest:
    """A request to decode.

    Args:
        batch: the histories.
        k: how many items.
        seen: [batch, any] item_idx never to return (``PAD`` padded), or None: the seen-item rule.
        allowed: takedown or filter, [items] for all users or [batch, items] for each, or None.
        bias: what to add to the items' log-probabilities when ranking, [items] or [batch, items], or None. Scores of the answer
            include it.
        observer: called by strategies that keep beams after each level: (level, nodes [batch, beams], scores [batch, beams]).

    Raises:
        ConfigError: when nothing is allowed to some user (no strategy falls back to the whole catalogue), or a bias is not
            finite.
    """

    batch: Batch
    k: int
    seen: Int64[Tensor, "batch seen"] | None = None
    allowed: Bool[Tensor, " items"] | Bool[Tensor, "batch items"] | None = None
    bias: Float[Tensor, " items"] | Float[Tensor, "batch items"] | None = None
    observer: Callable[[int, Tensor, Tensor], None] | None = None

    def __post_init__(self) -> None:
        if self.allowed is not None and not self.allowed.any(dim=-1).all():
            got = f"none of {self.allowed.shape[-1]}"
            raise ConfigError("filter", expected="at least one allowed item", got=got, fix="loosen the filter")
        if self.bias is not None and not self.bias.isfinite().all():
            wrong = float(self.bias[~self.bias.isfinite()][0])
            raise ConfigError("bias", expected="finite numbers", got=wrong, fix="use a filter to forbid items")

    def rows(self, users: Int64[Tensor, " some"]) -> DecodingRequest:
        """Returns the request of some users of the batch, without an observer."""

        def of(table: Tensor | None, shared: int) -> Tensor | None:
            return table if table is None or table.dim() == shared else table[users]

        batch = self.batch.rows(users)
        return DecodingRequest(batch, self.k, of(self.seen, 0), of(self.allowed, 1), of(self.bias, 1))


@runtime_checkable
class DecodingStrategy(Protocol):
    @property
    def kind(self) -> Decodes:
        """Which generators it fits; a class attribute."""
        ...

    def check(self, k: int) -> None:
        """Raises ConfigError when its settings cannot give ``k`` items."""
        ...

    def decode(self, generator: Any, trie: Any, request: DecodingRequest) -> Decoded:
        """Decodes a generator of its kind; ``trie`` is a ``PrefixTrie``, None for item scorers."""
        ...


@runtime_checkable
class FittedStrategy(Protocol):
    """A strategy with something to fit: where ``needs`` names "calibration", the ``calibrate`` stage comes first."""

    needs: ClassVar[frozenset[str]]

    def restore(self, folder: Path) -> None:
        """Reads what the stage wrote, before anything is decoded."""
        ...


@runtime_checkable
class GrowsWithItems(Protocol):
    """A strategy with state per item: a served bundle asks it for an extended strategy when items are added."""

    def with_items(self, num_items: int) -> DecodingStrategy:
        """Returns the same strategy for a catalogue with later items behind; this one stays as it is."""
        ...


@runtime_checkable
class HasBeams(Protocol):
    """A strategy with a number of beams: a copy gets more for longer lists, and a note reports too few for the candidates."""

    num_beams: int


@runtime_checkable
class HasMoreItems(Protocol):
    """A strategy that finds more items than it is asked for at no further cost: a quota asks for as many."""

    @property
    def at_hand(self) -> int: ...


@runtime_checkable
class WrapsStrategy(Protocol):
    """A strategy around another one: widening reaches the one inside."""

    strategy: DecodingStrategy
