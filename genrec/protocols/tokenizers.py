"""Tokenizers, which give items their codes, and collision policies, which make the codes unique."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from genrec.core.dataset import Sequences
from genrec.core.sids import SIDTable, Stream


@dataclass(frozen=True)
class TokenizerInputs:
    """The inputs of a tokenizer.

    Args:
        embeddings: source name -> [items, dim] float32; ``"item"`` is the encoder's joint vector.
        items: the catalogue rows that the embeddings belong to.
        train: training sequences (item_idx of the FITTED catalogue), or None when only encoding.
    """

    embeddings: Mapping[str, np.ndarray]
    items: pl.DataFrame
    train: Sequences | None = None

    @property
    def num_items(self) -> int:
        return self.items.height

    def of(self, rows: Int[np.ndarray, " rows"]) -> TokenizerInputs:
        """Returns the inputs of some items (at least one)."""
        embeddings = {name: vectors[rows] for name, vectors in self.embeddings.items()}
        return replace(self, embeddings=embeddings, items=self.items[rows.tolist()])


@dataclass(frozen=True)
class Traits:
    """Properties that a tokenizer promises; the contract tests of a property apply to tokenizers that promise it.

    Args:
        inductive: ``encode`` works for unseen items and row by row.
        ordered: levels go from coarse to fine.
        reconstructs: ``reconstruct`` gives vectors back, better with every level.
        scale_free: to repeat every dimension changes nothing, hardly even how many codes are in use. A tokenizer that cuts the
            vector into blocks sees other blocks then.
    """

    inductive: bool
    ordered: bool
    reconstructs: bool
    scale_free: bool = False


@runtime_checkable
class ItemTokenizer(Protocol):
    """The members of every tokenizer. Capabilities of some tokenizers are separate protocols below."""

    needs: ClassVar[frozenset[str]]  # of {"embeddings", "train"}
    traits: ClassVar[Traits]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes per level."""
        ...

    def fit(self, inputs: TokenizerInputs) -> None: ...
    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]: ...
    def save(self, folder: Path) -> None: ...
    def restore(self, folder: Path) -> None: ...


@runtime_checkable
class Reconstructs(Protocol):
    """A tokenizer whose codes represent vectors: the health figures report how much of the input each level explains.

    ``traits.reconstructs`` promises it.
    """

    def reconstruct(self, codes: Int[np.ndarray, "items levels"]) -> Float[np.ndarray, "items dim"]:
        """Returns the vectors of codes; any number of leading levels will do."""
        ...


@runtime_checkable
class HasSource(Protocol):
    """A tokenizer that reads one named source of the encoder: its health is measured against that one, not the joint vector."""

    source: str


@runtime_checkable
class LevelCosts(Protocol):
    """A tokenizer that can price codes: collision policies may then move an item to another code (``reassign_last``)."""

    def level_costs(self, inputs: TokenizerInputs, prefix: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items size"]:
        """Returns squared distances of what the prefix leaves over of each item to every code of the next level."""
        ...


@runtime_checkable
class StreamTokenizer(Protocol):
    """A tokenizer with further codes that generators may read but never decode: the SID table carries them as streams."""

    def encode_streams(self, inputs: TokenizerInputs) -> Mapping[str, Stream]:
        """Returns, by name, a stream of the same items."""
        ...


@runtime_checkable
class CollisionPolicy(Protocol):
    """Turns codes into a table whose items are unique (or, with ``keep``, in groups of equal codes)."""

    def resolve(self, codes: np.ndarray, sizes: tuple[int, ...], context: CollisionContext) -> SIDTable: ...

    def extend(self, table: SIDTable, codes: np.ndarray, context: CollisionContext) -> SIDTable:
        """Appends items that came later; codes and context are theirs. No ID of the table moves and its layout stays."""
        ...


Costs = Callable[[Int[np.ndarray, " rows"], Int[np.ndarray, "rows depth"]], Float[np.ndarray, "rows size"]]


@dataclass(frozen=True)
class CollisionContext:
    """The inputs of a collision policy: training popularity for the order in a group, and the costs of moving items.

    Args:
        item_ids: [items] strings, the stable tie-breaker.
        train_counts: int64 [items].
        costs: callable (rows [n], prefix [n, depth]) -> [n, sizes[depth]] squared distances, or None without codebooks.
        codebooks: hash of the tokenizer's codebooks, passed on to the table.
    """

    item_ids: pl.Series
    train_counts: np.ndarray
    costs: Costs | None = None
    codebooks: str = ""
