"""The items of a catalogue by id, and the filters, preferences and quotas that refer to them.

A filter is read once, its answers are cached, and its cost is known before any item is looked at.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, Float32, Int64

from genrec.core.deadlines import stop_if_abandoned
from genrec.core.sids import SIDTable
from genrec.errors import ConfigError, DataError, did_you_mean
from genrec.recommender.bundle_layout import POPULARITY, sid_frame
from genrec.recommender.filter_language import Filter, read_filter
from genrec.recommender.item_changes import ItemRows
from genrec.types import ITEM_ID, ITEM_IDX, PAD

TEXT = "text"  # column of ``ItemTable.texts``
TITLES = ("title", "name")  # columns that say what an item is called, the first that is there


def check_ids(item_ids: Iterable[Any]) -> list[str]:
    """Returns ids as a list.

    Raises:
        DataError: for one string in place of a list, and for what is no string.
    """
    if isinstance(item_ids, str | bytes | Mapping) or not isinstance(item_ids, Iterable):
        raise DataError("items", expected="a list of item ids", got=repr(item_ids)[:200], fix="give a list")
    ids = list(item_ids)
    for item_id in ids:
        if not isinstance(item_id, str):
            raise DataError("items", expected="item ids as strings", got=repr(item_id)[:200], fix="convert them")
    return ids


class ItemTable:
    """The items of a catalogue, read-only.

    Args:
        frame: row number == item_idx, column ``item_id`` and any others.
        sids: the semantic IDs, or None.
    """

    def __init__(self, frame: pl.DataFrame, sids: SIDTable | None) -> None:
        self.frame, self.sids = frame, sids
        self._groups: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return self.frame.height

    @cached_property
    def codes(self) -> pl.DataFrame | None:
        """``item_id`` and ``code_0``, ``code_1``, ... of every item; None without IDs."""
        return None if self.sids is None else sid_frame(self.sids, self.frame[ITEM_ID])

    @cached_property
    def idx(self) -> dict[str, int]:
        """item_id -> item_idx."""
        return {item_id: idx for idx, item_id in enumerate(self.frame[ITEM_ID].to_list())}

    @property
    def title(self) -> str | None:
        """The column that names an item."""
        return next((name for name in TITLES if self.frame.schema.get(name) == pl.String), None)

    @cached_property
    def texts(self) -> pl.DataFrame:
        """``item_idx`` and ``text``, title and id of every item in lower case, a blank before each; popular ones first."""
        words = ([] if self.title is None else [pl.col(self.title).fill_null("")]) + [pl.col(ITEM_ID)]
        texts = self.frame.select(
            pl.int_range(pl.len(), dtype=pl.Int64).alias(ITEM_IDX),
            pl.format(" {}\n {}" if len(words) > 1 else "\n {}", *words).str.to_lowercase().alias(TEXT),
            *([POPULARITY] if self.frame.schema.get(POPULARITY, pl.String()).is_numeric() else []),
        )
        if POPULARITY in texts.columns:
            texts = texts.sort(POPULARITY, descending=True, nulls_last=True, maintain_order=True)
        return texts.select(ITEM_IDX, TEXT)

    @cached_property
    def num_bytes(self) -> int:
        """The bytes of the table and of the index of its ids."""
        return int(self.frame.estimated_size()) + sys.getsizeof(self.idx) + sum(map(sys.getsizeof, self.idx))

    @cached_property
    def filter_columns(self) -> pl.DataFrame:
        """The columns that filters may refer to: those of the items, and their codes."""
        return self.frame if self.codes is None else self.frame.hstack(self.codes.drop(ITEM_ID))

    def ids(self, rows: Iterable[int] | pl.Series) -> pl.Series:
        """Returns the item_id of each row."""
        return self.frame[ITEM_ID].gather(rows if isinstance(rows, pl.Series) else list(rows))

    def rows(self, item_ids: Iterable[Any]) -> list[int]:
        """Returns the item_idx of each id.

        Raises:
            DataError: for the first that is not in the catalogue.
        """
        rows = []
        for item_id in item_ids:
            if not isinstance(item_id, str) or item_id not in self.idx:
                fix = "look items up by their titles, and name one of them"
                raise DataError("items", expected="ids of the catalogue", got=repr(item_id)[:200], fix=fix)
            rows.append(self.idx[item_id])
        return rows

    def known_rows(self, item_ids: Iterable[Any]) -> tuple[list[int], list[str]]:
        """Returns the item_idx of the ids that the catalogue has, and the other ids; each once, in the order given.

        Raises:
            DataError: for what is no string.
        """
        rows, unknown, asked_ids = [], [], check_ids(item_ids)
        for item_id in dict.fromkeys(asked_ids):
            if (row := self.idx.get(item_id)) is None:
                unknown.append(item_id)
            else:
                rows.append(row)
        return rows, unknown

    def with_content(self, rows: Sequence[int], new_rows: ItemRows) -> tuple[ItemTable, list[int]]:
        """Returns the table with other content of some items, and which of ``rows`` changed.

        Args:
            rows: item_idx of each row of ``said``.
            said: what is new; a column that a row does not name stays as it is.
        """
        frame, number = self.frame, len(self)
        before, columns = frame[list(rows)], dict[str, pl.Series]()
        changed = np.zeros(len(rows), dtype=bool)
        for name in frame.columns:
            named = new_rows.named[name]
            differs = named & before[name].ne_missing(new_rows.frame[name]).to_numpy()
            if name == ITEM_ID or not differs.any():
                columns[name] = frame[name]
                continue
            changed |= differs
            source_rows = np.arange(number)
            source_rows[np.asarray(rows)[differs]] = number + np.flatnonzero(differs)
            columns[name] = pl.concat([frame[name], new_rows.frame[name]]).gather(source_rows)
        return ItemTable(pl.DataFrame(columns), self.sids), [row for row, is_new in zip(rows, changed, strict=True) if is_new]

    @cached_property
    def filters(self) -> Filters:
        """The filters over ``filter_columns``."""
        return Filters(self.filter_columns)

    def passing_items(self, filter: str) -> Bool[np.ndarray, " items"]:
        """Returns which items pass a filter, as a read-only array."""
        return self.filters.passing_items(filter)

    def bias(self, steer: Mapping[str, float]) -> Float32[np.ndarray, " items"]:
        """Returns what preferences add to the log-probability of each item."""
        bias = np.zeros(len(self))
        with np.errstate(over="ignore", invalid="ignore"):  # the request refuses values that are not finite
            for predicate, amount in steer.items():
                stop_if_abandoned()
                bias += np.where(self.passing_items(predicate), float(amount), 0.0)
            return bias.astype(np.float32)

    def groups(self, column: str) -> Int64[np.ndarray, " items"]:
        """Returns the number of each item's value in a column, ``PAD`` where it has none.

        Raises:
            ConfigError: for an unknown column, and one of lists.
        """
        if column not in self.filter_columns.columns:
            fix = did_you_mean(column, self.filter_columns.columns)
            raise ConfigError("quota", expected="a column of the items", got=column, fix=fix)
        values = self.filter_columns[column]
        if values.dtype.is_nested():
            raise ConfigError(f"quota {column}", expected="one value an item", got=values.dtype, fix="use another column")
        if column not in self._groups:
            rows = pl.DataFrame({"value": values, "row": np.arange(len(values))})
            first = pl.col("row").first().over("value")  # the first item with the same value stands for its group
            self._groups[column] = (
                rows.select(pl.when(pl.col("value").is_null()).then(PAD).otherwise(first)).to_series().to_numpy()
            )
        return self._groups[column]


MAX_CACHED, MAX_CACHED_BYTES = 256, 64_000_000  # answers of the latest filters that are cached
_FEWEST = 50_000  # the cost of a filter is that for at least so many items: reading it costs the same for a small catalogue


class Filters:
    """The latest filters, and which items passed them.

    Args:
        items: the table.
    """

    def __init__(self, items: pl.DataFrame) -> None:
        self._items, self._lock = items, Lock()
        self._read: OrderedDict[str, Filter] = OrderedDict()
        self._answers: OrderedDict[str, np.ndarray] = OrderedDict()

    def passing_items(self, text: str) -> Bool[np.ndarray, " items"]:
        """Returns which items pass, as a read-only array.

        Raises:
            ConfigError: for what cannot be read, unknown columns, and values that do not fit a column.
        """
        with self._lock:
            if text in self._answers:
                self._answers.move_to_end(text)
                return self._answers[text]
        answer = self.read(text).passing_items(self._items).view()
        answer.setflags(write=False)
        with self._lock:
            self._answers[text] = answer
            while len(self._answers) > max(1, min(MAX_CACHED, MAX_CACHED_BYTES // max(answer.nbytes, 1))):
                self._answers.popitem(last=False)
        return answer

    def read(self, text: str) -> Filter:
        """Returns the filter, before any item is looked at.

        Raises:
            ConfigError: as ``passing``.
        """
        with self._lock:
            if text in self._read:
                self._read.move_to_end(text)
                return self._read[text]
        parsed = read_filter(text, self._items)
        with self._lock:
            self._read[text] = parsed
            while len(self._read) > MAX_CACHED:
                self._read.popitem(last=False)
        return parsed

    def check_cost(self, texts: Iterable[str], most: float) -> None:
        """Checks the cost of several filters, each counted once, against a limit.

        Args:
            texts: the filters.
            most: milliseconds of a core, about.

        Raises:
            ConfigError: when they cost more; and as ``passing``.
        """
        total, tests = 0.0, 0
        for text in dict.fromkeys(texts):
            parsed = self.read(text)
            total, tests = total + parsed.cost * max(self._items.height, _FEWEST) / 1e6, tests + len(parsed.tests)
            if total > most:
                got = f"{total:,.0f} ms for {tests:,} tests of {self._items.height:,} items"
                fix = "ask for less: looking into texts and lists costs most, see docs/filters.md"
                raise ConfigError("filter", expected=f"filters that take about {most:g} ms", got=got, fix=fix)
