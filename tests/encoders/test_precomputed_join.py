"""Vectors from a file are joined on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrec.core.dataset import Sequences
from genrec.encoders.precomputed import Precomputed
from genrec.errors import DataError

NOTHING = Sequences(np.zeros(0, dtype=np.int32), np.zeros(1, dtype=np.int64))


def fitted(tmp_path: Path, items: list[str], ids: list[str], missing: str) -> Precomputed:
    table = pl.DataFrame({"item_id": ids, "vector": [[float(n), 1.0] for n in range(len(ids))]})
    table.write_parquet(tmp_path / "vectors.parquet")
    encoder = Precomputed(path=tmp_path / "vectors.parquet", missing=missing)  # type: ignore[arg-type]
    encoder.fit(pl.DataFrame({"item_id": items}), NOTHING)
    return encoder


@pytest.mark.parametrize(
    ("items", "ids", "notes"),
    [
        ("ab", "ab", []),
        ("ab", "ba", []),
        ("ab", "abc", ["1 of 3 vectors belong to no item (c, ...)"]),
        ("abc", "ab", ["1 of 3 items have no vector"]),
        ("abc", "axyz", ["3 of 4 vectors belong to no item (x, ...)", "2 of 3 items have no vector"]),
    ],
)
def test_what_stands_on_one_side_alone(tmp_path: Path, items: str, ids: str, notes: list[str]) -> None:
    assert fitted(tmp_path, list(items), list(ids), "mean").notes == notes


def test_no_item_with_a_vector_is_no_encoder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected vectors of items of the catalogue, got 'x' and others, of no item"):
        fitted(tmp_path, ["a"], ["x", "y"], "mean")
