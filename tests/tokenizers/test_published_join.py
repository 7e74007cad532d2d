"""IDs from a file are joined on both sides: items without codes, keys without items, and counts that start elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from test_tokenizers import catalogue

from genrec.errors import DataError
from genrec.protocols import TokenizerInputs
from genrec.tokenizers.published import Published


def file_of(tmp_path: Path, keys: list[Any]) -> Path:
    """Codes [n, n + 1] for the n-th key."""
    (tmp_path / "index.json").write_text(json.dumps({str(key): [n, n + 1] for n, key in enumerate(keys)}), encoding="utf-8")
    return tmp_path / "index.json"


def inputs_of(values: list[Any]) -> TokenizerInputs:
    return catalogue(len(values), number=values)


@pytest.mark.parametrize(
    ("values", "keys", "offset"),
    [
        (range(1, 20), range(20), 1),  # the file's first item is the catalogue's first, and the last is not there
        ([1, 5, 7], range(20), 1),  # a subset
        (range(20), range(1, 22), -1),
        ([0, 3], range(1, 9), -1),
        ([1], [0, 1], 1),
    ],
)
def test_counts_that_may_start_elsewhere_are_asked_for(tmp_path: Path, values: Any, keys: Any, offset: int) -> None:
    path, inputs = file_of(tmp_path, list(keys)), inputs_of(list(values))
    line = rf"index\.json: expected keys .*give tokenizer\.key_offset={offset} if .* or tokenizer\.key_offset=0 if"
    shifts_only = not set(map(str, values)) <= set(map(str, keys))
    with pytest.raises(DataError, match=rf"give tokenizer\.key_offset={offset}$" if shifts_only else line):
        Published(path=path, key="number").fit(inputs)
    shifted = Published(path=path, key="number", key_offset=offset)
    shifted.fit(inputs)
    np.testing.assert_array_equal(shifted.encode(inputs)[:, 0], [list(keys).index(value - offset) for value in values])
    if not shifts_only:
        plain = Published(path=path, key="number", key_offset=0)
        plain.fit(inputs)
        np.testing.assert_array_equal(plain.encode(inputs)[:, 0], [list(keys).index(value) for value in values])


@pytest.mark.parametrize(
    ("values", "keys", "note"),
    [
        ([1, 2, 3], [1, 2, 3], None),
        ([1, 2, 3], [1, 2, 3, 4, 5], "2 of 5 keys of .* belong to no item: 4, 5$"),
        ([5, 9], range(20), r"18 of 20 keys of .* belong to no item: 0, 1, 10 \.\.\.$"),
        (["a", "b"], ["a", "b", "c"], "1 of 3 keys of .* belong to no item: c$"),
        (["01", "02"], ["01", "02", "00"], "1 of 3 keys .*: 00$"),
    ],
)
def test_keys_without_items_are_reported(tmp_path: Path, values: list[Any], keys: Any, note: str | None) -> None:
    tokenizer = Published(path=file_of(tmp_path, list(keys)), key="number", key_offset=0)
    tokenizer.fit(inputs_of(values))
    if note is None:
        assert tokenizer.notes == []
    else:
        (told,) = tokenizer.notes
        assert pl.Series([told]).str.contains(note)[0], told


@pytest.mark.parametrize(
    ("values", "keys", "remedy"),
    [
        ([1, 2, 3], [0, 1, 2], "give tokenizer.key_offset=1"),
        ([0, 1, 2], [1, 2, 3], "give tokenizer.key_offset=-1"),
        ([1001, 1002], [1, 2, 3], "give tokenizer.key_offset=1000"),
        (["a", "b"], ["A", "B"], "check tokenizer.key and tokenizer.key_offset"),
        ([1, 2, 9], [0, 1, 2], "check tokenizer.key and tokenizer.key_offset"),
    ],
)
def test_items_without_codes_get_the_remedy_that_works(tmp_path: Path, values: list[Any], keys: list[Any], remedy: str) -> None:
    path, inputs = file_of(tmp_path, keys), inputs_of(values)
    with pytest.raises(DataError, match="expected codes for each of") as caught:
        Published(path=path, key="number").fit(inputs)
    assert str(caught.value).endswith(remedy)
    if "give" in remedy:
        Published(path=path, key="number", key_offset=int(remedy.partition("=")[2])).fit(inputs)
