"""Histories as people give them -> rows of a catalogue, and what is not in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genrec.dataset import Sequences
from genrec.errors import DataError


@dataclass(frozen=True)
class Histories:
    """What was read.

    Args:
        sequences: the known items of each history, as item_idx.
        unknown: the other ids of each, in the order given.
    """

    sequences: Sequences
    unknown: list[list[str]]


def read_histories(histories: Sequence[Iterable[Any]], idx: Mapping[str, int]) -> Histories:
    """Looks up the items of each history.

    Args:
        histories: item ids, oldest first.
        idx: item_id -> item_idx.

    Raises:
        DataError: when something else than strings stands in a history.
    """
    rows, unknown = [], []
    for history in map(listed, histories):
        for item_id in history:
            if not isinstance(item_id, str):
                raise DataError("histories", expected="item ids as strings", got=repr(item_id), fix="convert them")
        rows.append([idx[item_id] for item_id in history if item_id in idx])
        unknown.append([item_id for item_id in history if item_id not in idx])
    flat = np.array([item for row in rows for item in row], dtype=np.int32)
    return Histories(Sequences(flat, np.cumsum([0, *map(len, rows)], dtype=np.int64)), unknown)


def listed(value: Any) -> list[Any]:
    """The entries of a list.

    Raises:
        DataError: when it is none.
    """
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise DataError("histories", expected="a list of item ids", got=repr(value), fix="give one list, or a list of lists")
    return list(value)
