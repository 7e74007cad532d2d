"""Filters over one table of items: read once, answers kept for a while, the price known before any item is looked at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock

import numpy as np
import polars as pl
from jaxtyping import Bool

from genrec.errors import ConfigError
from genrec.recommender.filter_language import Filter, read_filter

KEPT, KEPT_BYTES = 256, 64_000_000  # answers of the filters that were asked for last
_FEWEST = 50_000  # items that a price is made for: reading a filter costs as much, however small the catalogue


class Filters:
    """The filters that were asked for last, and which items passed them.

    Args:
        items: the table.
    """

    def __init__(self, items: pl.DataFrame) -> None:
        self._items, self._lock = items, Lock()
        self._read: OrderedDict[str, Filter] = OrderedDict()
        self._answers: OrderedDict[str, np.ndarray] = OrderedDict()

    def passing(self, text: str) -> Bool[np.ndarray, " items"]:
        """Which items pass; not to be written to.

        Raises:
            ConfigError: for what cannot be read, unknown columns, and values that do not fit a column.
        """
        with self._lock:
            if text in self._answers:
                self._answers.move_to_end(text)
                return self._answers[text]
        answer = self.read(text).passing(self._items).view()
        answer.setflags(write=False)
        with self._lock:
            self._answers[text] = answer
            while len(self._answers) > max(1, min(KEPT, KEPT_BYTES // max(answer.nbytes, 1))):
                self._answers.popitem(last=False)
        return answer

    def read(self, text: str) -> Filter:
        """The filter, before any item is looked at.

        Raises:
            ConfigError: as ``passing``.
        """
        with self._lock:
            if text in self._read:
                self._read.move_to_end(text)
                return self._read[text]
        one = read_filter(text, self._items)
        with self._lock:
            self._read[text] = one
            while len(self._read) > KEPT:
                self._read.popitem(last=False)
        return one

    def check_cost(self, texts: Iterable[str], most: float) -> None:
        """Holds what several filters will cost, each once, against a limit.

        Args:
            texts: the filters.
            most: milliseconds of a core, about.

        Raises:
            ConfigError: when they cost more; and as ``passing``.
        """
        total, tests = 0.0, 0
        for text in dict.fromkeys(texts):
            one = self.read(text)
            total, tests = total + one.cost * max(self._items.height, _FEWEST) / 1e6, tests + len(one.tests)
            if total > most:
                got = f"{total:,.0f} ms for {tests:,} tests of {self._items.height:,} items"
                fix = "ask for less: looking into texts and lists costs most, see docs/filters.md"
                raise ConfigError("filter", expected=f"filters that take about {most:g} ms", got=got, fix=fix)
