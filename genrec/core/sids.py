"""The semantic-ID table: the only owner of what a semantic ID is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int

from genrec.errors import ArtifactError, DataError, missing_file
from genrec.types import ITEM_ID, ITEM_IDX, PAD

TABLE_FILE = "sids.parquet"
LAYOUT_FILE = "layout.json"
STREAMS_FILE = "streams.parquet"  # a column for each, where there are any
CONTENT = "content"  # the stream of all codes of the tokenizer, where the IDs keep only the first of them


@dataclass(frozen=True)
class Stream:
    """Further codes of the items. Some generators read them; they are never decoded and need not be unique.

    Args:
        codes: [items, levels], row number == item_idx; ``PAD`` at every level of an item that has no such codes.
        sizes: number of codes of each level.

    Raises:
        DataError: when a code is out of its level's range.
    """

    codes: Int[np.ndarray, "items levels"]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(int(size) for size in self.sizes))
        object.__setattr__(self, "codes", _check_codes(self.codes, self.sizes, lowest=PAD))

    @cached_property
    def tokens(self) -> Int[np.ndarray, "items levels"]:
        """int64: codes in one vocabulary shared by all levels; ``PAD`` stays."""
        offsets = np.cumsum((0, *self.sizes[:-1]))
        return np.where(self.codes == PAD, PAD, self.codes + offsets)

    @property
    def num_tokens(self) -> int:
        return sum(self.sizes)


@dataclass(frozen=True)
class SIDTable:
    """item_idx <-> codes.

    Args:
        codes: [items, levels], row number == item_idx; ``codes[i, l]`` lies in ``[0, sizes[l])``.
        sizes: number of codes of each level, the collision level included.
        collision_level: the level that a collision policy appended, or None.
        codebooks: hash of the tokenizer's codebooks ("" when it has none).
        streams: further codes of the same items, by name.

    Raises:
        DataError: when a code is out of its level's range.

    Examples:
        Three items with two codes each, of which two items share the first code:

        >>> from genrec import SIDTable
        >>> sids = SIDTable(np.array([[0, 1], [0, 2], [1, 0]]), sizes=(2, 3))
        >>> sids.num_items, sids.num_levels, sids.num_tokens
        (3, 2, 5)
        >>> sids.tokens.tolist()
        [[0, 3], [0, 4], [1, 2]]
        >>> round(sids.unique_rate(1), 4), sids.unique_rate()
        (0.3333, 1.0)
    """

    codes: Int[np.ndarray, "items levels"]
    sizes: tuple[int, ...]
    collision_level: int | None = None
    codebooks: str = ""
    streams: Mapping[str, Stream] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(int(size) for size in self.sizes))
        object.__setattr__(self, "codes", _check_codes(self.codes, self.sizes))
        for name, stream in self.streams.items():
            if len(stream.codes) != self.num_items:
                expected, got = f"codes of {self.num_items} items", f"those of {len(stream.codes)}"
                raise DataError(f"sids: stream {name}", expected=expected, got=got, fix="give every item its codes")

    @property
    def num_items(self) -> int:
        return self.codes.shape[0]

    @property
    def num_levels(self) -> int:
        return self.codes.shape[1]

    @cached_property
    def level_offsets(self) -> np.ndarray:
        """int64 [levels + 1]: token id = ``level_offsets[level] + code``; the last entry is the number of tokens."""
        return np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)

    @property
    def num_tokens(self) -> int:
        return int(self.level_offsets[-1])

    @cached_property
    def tokens(self) -> np.ndarray:
        """int64 [items, levels]: codes in one vocabulary shared by all levels."""
        return self.codes + self.level_offsets[:-1]

    @cached_property
    def layout(self) -> str:
        """Hash of levels, sizes and codebooks, on which a trained generator depends. Adding items does not change it."""
        streams = {"streams": self._stream_sizes} if self.streams else {}
        return _sha({"sizes": self.sizes, "collision_level": self.collision_level, "codebooks": self.codebooks, **streams})

    @cached_property
    def table(self) -> str:
        """Hash of the layout and of every item's codes, in item_idx order."""
        streams = {"streams": {name: _hash(stream.codes) for name, stream in self.streams.items()}} if self.streams else {}
        return _sha({"layout": self.layout, "codes": _hash(self.codes), **streams})

    @property
    def content(self) -> SIDTable | Stream:
        """The codes of an item's content: its ID, or the ``content`` stream where the ID has only some of the codes."""
        return self.streams.get(CONTENT, self)

    @property
    def content_codes(self) -> Stream:
        """``content`` without the number that tells colliding items apart, which says nothing of an item."""
        content = self.content
        if content is not self or self.collision_level is None:
            return Stream(content.codes, content.sizes)
        levels = [level for level in range(self.num_levels) if level != self.collision_level]
        return Stream(self.codes[:, levels], tuple(self.sizes[level] for level in levels))

    def with_items(self, codes: Int[np.ndarray, "later levels"]) -> SIDTable:
        """Returns the table with rows for later items at its end, without streams. No ID changes, and the layout stays."""
        return replace(self, codes=np.concatenate([self.codes, np.asarray(codes)]), streams={})

    def with_streams(self, streams: Mapping[str, Stream]) -> SIDTable:
        """Returns the table with further streams."""
        return replace(self, streams={**self.streams, **streams})

    @property
    def _stream_sizes(self) -> dict[str, list[int]]:
        return {name: list(stream.sizes) for name, stream in self.streams.items()}

    def unique_rate(self, num_levels: int | None = None) -> float:
        """Share of items that have their first ``num_levels`` codes (all by default) to themselves."""
        _, inverse, counts = np.unique(self.codes[:, :num_levels], axis=0, return_inverse=True, return_counts=True)
        return float((counts[inverse.ravel()] == 1).mean()) if self.num_items else 1.0

    def save(self, folder: Path, item_ids: Sequence[str] | pl.Series) -> None:
        """Writes ``sids.parquet`` (item_idx, item_id, codes) and ``layout.json``."""
        frame = pl.DataFrame(
            {
                ITEM_IDX: np.arange(self.num_items, dtype=np.int64),
                ITEM_ID: pl.Series(item_ids, dtype=pl.String),
                "codes": _column(self.codes),
            }
        )
        frame.write_parquet(folder / TABLE_FILE)
        if self.streams:
            streams = {name: _column(stream.codes) for name, stream in self.streams.items()}
            pl.DataFrame(streams).write_parquet(folder / STREAMS_FILE)
        (folder / LAYOUT_FILE).write_text(json.dumps(self.facts(), indent=2), encoding="utf-8")

    def facts(self) -> dict[str, Any]:
        """Returns the facts about this table for the manifest and the model card."""
        return {
            "num_items": self.num_items,
            "sizes": list(self.sizes),
            "collision_level": self.collision_level,
            "codebooks": self.codebooks,
            "layout": self.layout,
            "table": self.table,
            **({"streams": self._stream_sizes} if self.streams else {}),
        }

    @classmethod
    def load(cls, folder: Path) -> SIDTable:
        """Reads a saved table.

        Raises:
            ArtifactError: when a file is missing or the codes do not match the recorded hash.
        """
        try:
            facts = json.loads((folder / LAYOUT_FILE).read_text(encoding="utf-8"))
            frame = pl.read_parquet(folder / TABLE_FILE, glob=False).sort(ITEM_IDX)
            beside = pl.read_parquet(folder / STREAMS_FILE, glob=False) if "streams" in facts else pl.DataFrame()
        except FileNotFoundError as error:
            raise ArtifactError(
                folder, expected="a SID table", got=f"no file {missing_file(error)}", fix="run `genrec assign`"
            ) from error
        streams = {name: Stream(_codes(beside[name], sizes), tuple(sizes)) for name, sizes in facts.get("streams", {}).items()}
        codes = _codes(frame["codes"], facts["sizes"])
        table = cls(codes, tuple(facts["sizes"]), facts["collision_level"], facts["codebooks"], streams)
        if table.table != facts["table"]:
            raise ArtifactError(
                folder / TABLE_FILE, expected=f"table {facts['table']}", got=table.table, fix="run `genrec assign` again"
            )
        return table


def _check_codes(codes: np.ndarray, sizes: tuple[int, ...], lowest: int = 0) -> np.ndarray:
    """Returns the codes as contiguous int32, once their ranges are checked."""
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[1] != len(sizes):
        raise DataError("sids", expected=f"codes [items, {len(sizes)}]", got=codes.shape, fix="give one code a level")
    wrong = np.argwhere((codes < lowest) | (codes >= np.asarray(sizes)))
    if len(wrong):
        item, level = (int(x) for x in wrong[0])
        raise DataError(
            f"sids: item_idx {item}, level {level}",
            expected=f"a code in [0, {sizes[level]})",
            got=int(codes[item, level]),
            fix="correct the code, or make the level larger",
        )
    return np.ascontiguousarray(codes, dtype=np.int32)


def _column(codes: np.ndarray) -> pl.Series:
    return pl.Series(codes, dtype=pl.Array(pl.Int32, codes.shape[1]))


def _codes(column: pl.Series, sizes: Sequence[int]) -> np.ndarray:
    return np.asarray(column.to_numpy()).reshape(len(column), len(sizes))


def _hash(codes: np.ndarray) -> str:
    return hashlib.sha256(codes.tobytes()).hexdigest()


def _sha(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
