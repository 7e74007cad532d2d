"""Encoders, which turn the content of items into vectors, and the notes of a fitted component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from genrec.core.dataset import Sequences


@runtime_checkable
class ItemEncoder(Protocol):
    """The members of every encoder. Capabilities of some encoders are separate protocols below."""

    def fit(self, items: pl.DataFrame, train: Sequences) -> None:
        """Learns vocabulary, projections, standardization. ``train`` holds training events only; rows of items = item_idx."""
        ...

    def encode(self, items: pl.DataFrame) -> Float[np.ndarray, "items dim"]:
        """Finite float32 vectors, also for items that were not there at ``fit`` (matched by ``item_id``, never by row)."""
        ...

    def present(self, items: pl.DataFrame) -> Bool[np.ndarray, " items"]:
        """Returns which items this source has content for (the others get its documented fallback)."""
        ...

    def save(self, folder: Path) -> None: ...
    def restore(self, folder: Path) -> None: ...


@runtime_checkable
class NamedEncoder(Protocol):
    """An encoder of several sources: each source's vectors are stored beside the joint ones, and tokenizers may read them."""

    def encode_named(self, items: pl.DataFrame) -> Mapping[str, Float[np.ndarray, "items _"]]:
        """Returns the joint vectors as ``"item"``, and those of each source by its name."""
        ...


@runtime_checkable
class HasConfidence(Protocol):
    """A source that knows how far its vectors can be trusted: ``Concat`` blends them with what the other sources predict."""

    def confidence(self, items: pl.DataFrame) -> Float[np.ndarray, " items"]:
        """Returns a number in [0, 1] for each item."""
        ...


@runtime_checkable
class FitNotes(Protocol):
    """An encoder or a tokenizer with ``notes``: the stage that fits it prints each of them, once, after ``fit``."""

    @property
    def notes(self) -> Sequence[str]:
        """Sentences on what was unusual about the fit."""
        ...
