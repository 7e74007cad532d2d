"""Encoders, which turn the content of items into vectors, and the notes of a fitted component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from genrec.core.dataset import Sequences
from genrec.errors import ConfigError


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
class EncodesTexts(Protocol):
    """An encoder that reads texts: it also gives vectors to what users ask for in words (``events.text``)."""

    def encode_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
        """Returns finite float32 vectors of any texts, in the space of those that it gives to the items' texts."""
        ...


@runtime_checkable
class JoinsSources(Protocol):
    """An encoder made of others: the first of them that reads texts gives vectors to what users ask for in words."""

    @property
    def sources(self) -> Mapping[str, ItemEncoder]: ...


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


def text_part(encoder: ItemEncoder, setting: str = "events.text") -> EncodesTexts:
    """Returns what reads texts: the encoder, or the first of its sources that does.

    Args:
        encoder: perhaps of several sources.
        setting: that needs it, for errors.

    Raises:
        ConfigError: when nothing does.
    """
    sources = encoder.sources.values() if isinstance(encoder, JoinsSources) else ()
    for part in (encoder, *sources):
        if isinstance(part, EncodesTexts):
            return part
    expected, fix = f"one that reads texts, for {setting}", f"choose encoder=tfidf_collaborative, or leave {setting} out"
    raise ConfigError("encoder", expected=expected, got=type(encoder).__name__, fix=fix)
