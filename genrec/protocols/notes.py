"""What a fitted component may say about its fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable


@runtime_checkable
class FitNotes(Protocol):
    """An encoder or a tokenizer with ``notes``: the stage that fits it prints each of them, once, after ``fit``."""

    @property
    def notes(self) -> Sequence[str]:
        """Sentences on what was unusual about the fit."""
        ...
