"""Reads vectors that were computed elsewhere, and matches them to the catalogue by ``item_id``.

See docs/methods/encoders.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from genrec.core.dataset import Sequences
from genrec.errors import ConfigError, DataError, excerpt, join_names
from genrec.types import ITEM_ID

FORMATS = (".npy", ".safetensors", ".parquet")
# safetensors has no type of numpy for bfloat16, and says so with a TypeError
_UNREADABLE = (OSError, ValueError, TypeError, SafetensorError, pl.exceptions.PolarsError)


class Precomputed:
    """Vectors from a file, whose rows may be in any order.

    Args:
        path: ``.parquet`` with ``item_id`` and a column of lists or arrays; ``.npy`` [rows, dim]; ``.safetensors`` with such a
            tensor.
        ids: for npy and safetensors: which item each row is: ``.txt`` (one id a line), ``.json`` (a list) or ``.parquet``
            (column ``item_id``).
        column: the parquet's vector column, or the tensor's name.
        missing: what to do about catalogue items without a vector: ``error``, or ``mean``: they get the mean of all vectors
            and ``present`` is False for them (so that ``concat`` predicts them from other sources).
    """

    def __init__(
        self, *, path: Path, ids: Path | None = None, column: str = "vector", missing: Literal["error", "mean"] = "error"
    ) -> None:
        self.path, self.ids, self.column, self.missing = Path(path), ids and Path(ids), column, missing
        self.notes: list[str] = []
        if self.path.suffix not in FORMATS:
            raise ConfigError(
                "encoder.path", expected=f"a file ending in {', '.join(FORMATS)}", got=self.path, fix="convert it"
            )
        if self.path.suffix != ".parquet" and self.ids is None:
            raise ConfigError(
                "encoder.ids",
                expected=f"the item id of each row of {self.path.name}",
                got="nothing",
                fix="give encoder.ids=FILE",
            )

    def fit(self, items: pl.DataFrame, train: Sequences) -> None:
        try:
            ids, vectors = self._read()
        except _UNREADABLE as error:
            fix = "check encoder.path"
            raise DataError(self.path, expected="a readable file of vectors", got=_reason(error), fix=fix) from error
        self._check(ids, vectors)
        self._vectors, self._row_of = vectors.astype(np.float32), {item: row for row, item in enumerate(ids)}
        self._mean = self._vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.notes = self._join_notes(items, ids)

    def _join_notes(self, items: pl.DataFrame, ids: list[str]) -> list[str]:
        """Counts vectors without an item and items without a vector.

        Raises:
            DataError: when no item has a vector, also under ``missing: mean``.
        """
        catalogue_ids = set(items[ITEM_ID])
        unused, without = (
            [item for item in ids if item not in catalogue_ids],
            [item for item in catalogue_ids if item not in self._row_of],
        )
        if catalogue_ids and len(without) == len(catalogue_ids) and self.missing != "error":
            got, fix = f"{ids[0]!r} and others, of no item", "write the ids of the catalogue"
            raise DataError(self.path, expected="vectors of items of the catalogue", got=got, fix=fix)
        notes = [f"{len(unused):,} of {len(ids):,} vectors belong to no item ({unused[0]}, ...)"] if unused else []
        return [*notes, *([f"{len(without):,} of {len(catalogue_ids):,} items have no vector"] if without else [])]

    def encode(self, items: pl.DataFrame) -> Float[np.ndarray, "items dim"]:
        rows = self._rows(items)
        if self.missing == "error" and (rows < 0).any():
            lost = items[ITEM_ID].filter(pl.Series(rows < 0))
            raise DataError(
                self.path,
                expected="a vector for every item of the catalogue",
                got=f"none for {len(lost)} items, {lost[0]} among them",
                fix="add them, or set encoder.missing=mean",
            )
        return np.where(rows[:, None] >= 0, self._vectors[np.maximum(rows, 0)], self._mean)

    def present(self, items: pl.DataFrame) -> Bool[np.ndarray, " items"]:
        return self._rows(items) >= 0

    def save(self, folder: Path) -> None:
        pl.DataFrame({ITEM_ID: list(self._row_of)}).write_parquet(folder / "items.parquet")
        save_file({"vectors": np.ascontiguousarray(self._vectors), "mean": self._mean}, folder / "vectors.safetensors")

    def restore(self, folder: Path) -> None:
        arrays = load_file(folder / "vectors.safetensors")
        self._vectors, self._mean = arrays["vectors"], arrays["mean"]
        self._row_of = {item: row for row, item in enumerate(pl.read_parquet(folder / "items.parquet", glob=False)[ITEM_ID])}

    def _rows(self, items: pl.DataFrame) -> np.ndarray:
        return np.array([self._row_of.get(item, -1) for item in items[ITEM_ID]], dtype=np.int64)

    def _read(self) -> tuple[list[str], np.ndarray]:
        if self.path.suffix == ".parquet":
            frame = pl.read_parquet(self.path, glob=False)
            for name in (ITEM_ID, self.column):
                if name not in frame.columns:
                    fix = "rename the column of the ids" if name == ITEM_ID else "name the vectors with encoder.column=NAME"
                    got = f"columns {join_names(frame.columns)}"
                    raise DataError(self.path, expected=f"a column {name!r}", got=got, fix=fix)
            ids = frame[ITEM_ID].cast(pl.String).to_list()
            return ids, self._numbers(frame[self.column], ids)
        if self.path.suffix == ".npy":
            return self._read_ids(), np.load(self.path, allow_pickle=False)
        tensors = load_file(self.path)
        if self.column not in tensors:
            got, fix = f"tensors {join_names(list(tensors))}", "name the vectors with encoder.column=NAME"
            raise DataError(self.path, expected=f"a tensor {self.column!r}", got=got, fix=fix)
        return self._read_ids(), tensors[self.column]

    def _read_ids(self) -> list[str]:
        assert self.ids is not None  # the constructor asked for it
        try:
            if self.ids.suffix == ".parquet":
                return pl.read_parquet(self.ids, glob=False)[ITEM_ID].cast(pl.String).to_list()
            text = self.ids.read_text(encoding="utf-8")
            listed = json.loads(text) if self.ids.suffix == ".json" else text.splitlines()
        except _UNREADABLE as error:
            expected, fix = "the item id of each vector", "check encoder.ids"
            raise DataError(self.ids, expected=expected, got=_reason(error), fix=fix) from error
        if not isinstance(listed, list):
            raise DataError(self.ids, expected="a list of item ids", got=excerpt(listed), fix='write ["id", ...]')
        return [str(item) for item in listed]

    def _numbers(self, column: pl.Series, ids: list[str]) -> np.ndarray:
        """Returns a column of lists as an array.

        Raises:
            DataError: when they are no lists of numbers, or not all of one length.
        """
        where, fix = f"{self.path}, column {self.column}", "give every item one of the same length"
        if not isinstance(column.dtype, pl.List | pl.Array) or not column.dtype.inner.is_numeric():
            fix = "name the vectors with encoder.column=NAME"
            raise DataError(where, expected="lists of numbers", got=str(column.dtype), fix=fix)
        lengths = (column.arr.to_list() if isinstance(column.dtype, pl.Array) else column).list.len()
        odd = lengths.is_null() | (lengths != lengths.first()).fill_null(True)
        if odd.any():
            row = odd.to_list().index(True)
            got = f"{lengths[row]} numbers for item {ids[row]}, {lengths[0]} for {ids[0]}"
            got = f"none for item {ids[row]}" if lengths[row] is None else got
            raise DataError(where, expected="vectors of one length", got=got, fix=fix)
        return np.array(column.to_list(), dtype=np.float64)

    def _check(self, ids: list[str], vectors: np.ndarray) -> None:
        if vectors.ndim != 2 or len(vectors) != len(ids) or len(ids) == 0 or vectors.dtype.kind not in "fiu":
            expected, got = f"a vector for each of {len(ids):,} ids", f"{vectors.dtype} of shape {vectors.shape}"
            raise DataError(self.path, expected=expected, got=got, fix="write one row of numbers for each id")
        if None in ids:
            got = f"None in row {ids.index(None) + 1}"  # type: ignore[arg-type]  # a parquet may have gaps
            raise DataError(self.ids or self.path, expected="an item_id in every row", got=got, fix="fill it, or drop the row")
        if len(set(ids)) < len(ids):
            twice = next(item for item, again in zip(sorted(ids), sorted(ids)[1:], strict=False) if item == again)
            raise DataError(self.ids or self.path, expected="each item_id once", got=f"{twice} twice", fix="keep one row of it")
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0])
            wrong = vectors[row][~np.isfinite(vectors[row])][0]
            raise DataError(
                f"{self.path}: item {ids[row]}", expected="finite numbers", got=float(wrong), fix="repair the vector"
            )


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
