"""Data sources, which read the interactions, and splitters, which decide on training, validation and test events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import polars as pl


@dataclass(frozen=True)
class RawData:
    """The tables of a data source, in canonical columns, before any filter, order or split.

    Args:
        interactions: ``user_id``, ``item_id``; optional ``timestamp`` and/or ``position``, ``rating``, ``event_type``,
            ``weight``, and other columns of the events. Row order is the input order; row numbers in errors count from 1 here.
            Prepare casts and checks.
        items: ``item_id`` and any other columns; None when there is no catalogue beside the interactions.
        notes: (what, how many) of everything the source itself dropped or changed.
        extra_files: file name -> writer, called with the path to write; kept beside the dataset (the demo world's parameters).
        files: what errors about "interactions" and "items" call the two tables: their files.
        columns: canonical column -> what the file of the interactions calls it, where that is another name.
        date_format: how times are to be read (see ``read_times``).
        ids: how ids are to be read (see ``text_ids``).
        users: ``user_id`` and any other columns, one row per user; None when nothing is known of the users.
    """

    interactions: pl.DataFrame
    items: pl.DataFrame | None
    notes: list[tuple[str, int]] = field(default_factory=list)
    extra_files: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    date_format: str = "auto"
    ids: str = "clean"
    users: pl.DataFrame | None = None


@runtime_checkable
class DataSource(Protocol):
    """A source reads the interactions and the items."""

    def load(self) -> RawData: ...


@runtime_checkable
class ReadsColumns(DataSource, Protocol):
    """A source whose interactions may have further columns: kinds of events, devices, queries (the ``events`` group)."""

    def load_with(self, columns: Sequence[str]) -> RawData:
        """Reads the interactions with some further columns, where they are there, each under its own name."""
        ...


@runtime_checkable
class Splitter(Protocol):
    """Decides where each user's training and validation parts end (see ``Dataset``)."""

    def keep(self, users: pl.DataFrame) -> np.ndarray:
        """Returns which users stay in the dataset, given ``user_id`` and ``num_events``: bool [users].

        Raises:
            DataError: when there are users it cannot split and its policy is to stop.
        """
        ...

    def split(self, offsets: np.ndarray, timestamps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Returns absolute train_ends [users], validation_ends [users], and facts (rule, counts)."""
        ...


@runtime_checkable
class HoldsOut(Protocol):
    """A splitter that declares whether it holds out targets; if not, evaluation is refused before anything runs."""

    holds_out: ClassVar[bool]
