"""Codes that belong to items and not to vectors: ``fit`` issues them once, and later they are looked up by ``item_id``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from genrec.errors import DataError
from genrec.protocols import TokenizerInputs
from genrec.types import ITEM_ID

CODES_FILE = "issued.parquet"


@dataclass(frozen=True)
class CodeTable:
    """item_id -> codes.

    Args:
        item_ids: of the fitted catalogue.
        codes: [items, levels], in their order.
    """

    item_ids: pl.Series
    codes: Int[np.ndarray, "items levels"]

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {item: row for row, item in enumerate(self.item_ids)}

    def look_up(self, item_ids: pl.Series) -> tuple[Int[np.ndarray, "some levels"], Bool[np.ndarray, " some"]]:
        """Returns codes of the items, and which of them were issued any; rows of the others mean nothing."""
        rows = np.array([self._row_of.get(item, -1) for item in item_ids], dtype=np.int64)
        return self.codes[rows], rows >= 0

    def save(self, folder: Path) -> None:
        columns = {f"code_{level}": column for level, column in enumerate(self.codes.T)}
        pl.DataFrame({ITEM_ID: self.item_ids, **columns}).write_parquet(folder / CODES_FILE)

    @classmethod
    def load(cls, folder: Path) -> CodeTable:
        table = pl.read_parquet(folder / CODES_FILE, glob=False)
        return cls(table[ITEM_ID], table.drop(ITEM_ID).to_numpy())


class LookupCodes:
    """A tokenizer without a rule for unseen items; a subclass's ``fit`` calls ``issue``."""

    def issue(self, inputs: TokenizerInputs, codes: Int[np.ndarray, "items levels"]) -> None:
        """Binds codes to the items of ``inputs``.

        Raises:
            DataError: when there are no items.
        """
        if inputs.num_items == 0:
            raise DataError("items", expected="at least one row", got=f"{inputs.num_items} rows", fix="prepare again")
        self._table = CodeTable(inputs.items[ITEM_ID], np.ascontiguousarray(codes, dtype=np.int64))

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(int(largest) + 1 for largest in self._table.codes.max(axis=0))

    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]:
        """The issued codes.

        Raises:
            DataError: naming an item that was not there at ``fit``.
        """
        codes, was_fitted = self._table.look_up(inputs.items[ITEM_ID])
        if not was_fitted.all():
            raise DataError(
                f"tokenizer: item {inputs.items[ITEM_ID][int(np.argmin(was_fitted))]}",
                expected="an item of the fitted catalogue",
                got=f"{int((~was_fitted).sum())} items that have no codes",
                fix="fit again, or choose a tokenizer that encodes vectors, such as rq_kmeans",
            )
        return codes

    def save(self, folder: Path) -> None:
        self._table.save(folder)

    def restore(self, folder: Path) -> None:
        self._table = CodeTable.load(folder)


def digits(numbers: Int[np.ndarray, " items"], base: int, count: int | None = None) -> Int[np.ndarray, "items digits"]:
    """Numbers written in ``base``, leading digit first; as many digits as the largest needs, or ``count``."""
    if count is None:
        count = 1
        while base**count <= numbers.max(initial=0):
            count += 1
    powers = base ** np.arange(count - 1, -1, -1, dtype=np.int64)
    return numbers[:, None] // powers % base


def number_within(groups: Int[np.ndarray, " items"]) -> Int[np.ndarray, " items"]:
    """Numbers the items of each group 0, 1, 2 ... in the order of the rows."""
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups)
    numbers = np.empty(len(groups), dtype=np.int64)
    numbers[order] = np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)
    return numbers
