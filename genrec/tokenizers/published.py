"""Codes that somebody published, or that any other program made: read from a file, joined on the items, nothing is learned.

Own design: see docs/methods/published_ids.md.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from genrec.errors import ConfigError, DataError, did_you_mean
from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.lookup_codes import LookupCodes
from genrec.types import ITEM_ID

CODES = "codes"
_TOKEN = re.compile(r"[^\d-]*(\d+)\D*")  # "<a_32>": the level stands in the letter and in the place, the code in the number


def fitting_shift(items: Collection[str], keys: Collection[str]) -> int | None:
    """What would have to be added to all keys for each item to have one, where both are whole numbers with other starts.

    >>> fitting_shift(["1", "2", "3"], ["0", "1", "2", "3"]), fitting_shift(["1", "2"], ["1", "2"]), fitting_shift(["a"], ["0"])
    (1, None, None)
    """
    try:
        values, numbers = {int(item) for item in items}, {int(key) for key in keys}
    except ValueError:
        return None
    shift = min(values, default=0) - min(numbers, default=0)
    return shift if shift and all(value - shift in numbers for value in values) else None


class Published(LookupCodes):
    """IDs from a file.

    All levels are taken as they are. A published set that is unique already, by whatever means (a number at its end, moved last
    codes), goes with ``collision=keep``; another needs a policy like any tokenizer's codes. A level's size is its largest code
    plus one: the file does not say how many codes its authors had.

    Args:
        path: ``.json`` or ``.json.gz``: an object, key -> codes, or a list of codes whose keys are 0, 1, 2 ...; ``.parquet``
            with a column named as ``key`` and one of lists, ``codes`` (``runs/x/sids/sids.parquet`` is such a file). A code is
            a whole number, or a text with one number in it such as ``<a_32>``.
        key: the item column that the file's keys are values of.
        key_offset: what to add to a (whole) number in the file to get the column's value: 1 when the file counts from 0
            and the column from 1; 0: the keys are the values. null: as 0, but where the file's numbers begin one before or
            behind the column's, and would fit if they were shifted, it has to be said.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    traits: ClassVar[Traits] = Traits(inductive=False, ordered=False, reconstructs=False, scale_free=True)

    def __init__(self, *, path: Path, key: str = ITEM_ID, key_offset: int | None = None) -> None:
        self.path, self.key, self.key_offset = Path(path), key, key_offset
        self.notes: list[str] = []

    def fit(self, inputs: TokenizerInputs) -> None:
        """Reads the file and issues each item's codes; says in ``notes`` which keys belong to no item.

        Raises:
            ConfigError: when the catalogue has no column ``key``.
            DataError: for a file that cannot be read, keys that occur twice, items without codes, and numbers that may count
                from another start than the column's.
        """
        if self.key not in inputs.items.columns:
            fix = did_you_mean(self.key, inputs.items.columns)
            raise ConfigError("tokenizer.key", expected="a column of the items", got=self.key, fix=fix)
        codes_of = self._codes_by_key()
        keys = inputs.items[self.key].cast(pl.String).to_list()
        unused, shift = sorted(set(codes_of).difference(keys)), fitting_shift(keys, codes_of)
        remedy = f"tokenizer.key_offset={(self.key_offset or 0) + (shift or 0)}"
        without = [item for item, key in zip(inputs.items[ITEM_ID], keys, strict=True) if key not in codes_of]
        if without:
            first = f"its first key is {next(iter(codes_of), 'missing')}"
            raise DataError(
                self.path,
                expected=f"codes for each of {len(keys):,} items",
                got=f"none for {len(without):,}, {without[0]} among them",
                fix=f"{first}: check tokenizer.key and tokenizer.key_offset" if shift is None else f"{first}: give {remedy}",
            )
        if self.key_offset is None and unused and shift in (1, -1):
            raise DataError(
                self.path,
                expected=f"keys that begin where the column {self.key} does ({min(map(int, keys))})",
                got=f"keys from {min(map(int, codes_of))} on, {len(unused)} of which no item has ({unused[0]})",
                fix=f"give {remedy} if the two count from different starts, or tokenizer.key_offset=0 if they do not",
            )
        shown = ", ".join(unused[:3]) + (" ..." if len(unused) > 3 else "")
        self.notes = [f"{len(unused):,} of {len(codes_of):,} keys of {self.path} belong to no item: {shown}"] if unused else []
        self.issue(inputs, np.array([codes_of[key] for key in keys]))

    def _codes_by_key(self) -> dict[str, list[int]]:
        codes_of: dict[str, list[int]] = {}
        for key, codes in self._rows():
            if key in codes_of:
                raise DataError(
                    f"{self.path}: key {key}", expected="each key once", got=f"{key} again", fix="keep one row of it"
                )
            codes_of[key] = self._numbers(key, codes)
            first = next(iter(codes_of))
            if len(codes_of[key]) != len(codes_of[first]):
                raise DataError(
                    f"{self.path}: key {key}",
                    expected=f"{len(codes_of[first])} codes, as key {first} has",
                    got=codes,
                    fix="give all items equally many codes",
                )
        return codes_of

    def _rows(self) -> Iterator[tuple[str, Any]]:
        """Key, with the offset added, and codes as they stand in the file."""
        try:
            if self.path.suffix == ".parquet":
                frame = pl.read_parquet(self.path, columns=[self.key, CODES], glob=False)
                rows = list(zip(frame[self.key].cast(pl.String), frame[CODES].to_list(), strict=True))
            else:
                open_file = gzip.open if self.path.suffix == ".gz" else open
                with open_file(self.path, "rt", encoding="utf-8") as file:
                    content = json.load(file)
                rows = list(content.items() if isinstance(content, dict) else enumerate(content))
            for key, codes in rows:
                yield (str(int(key) + self.key_offset) if self.key_offset else str(key)), codes
        except (OSError, EOFError, ValueError, TypeError, pl.exceptions.PolarsError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise DataError(
                self.path,
                expected="json key -> codes, or parquet",
                got=reason,
                fix="check tokenizer.path and tokenizer.key_offset",
            ) from error

    def _numbers(self, key: str, codes: Any) -> list[int]:
        matches = [_TOKEN.fullmatch(str(code)) for code in codes] if isinstance(codes, list) else []
        if not matches or not all(matches):
            raise DataError(
                f"{self.path}: key {key}",
                expected="a list of whole numbers from 0, or of texts with one such number each",
                got=codes,
                fix="repair the file",
            )
        return [int(match[1]) for match in matches if match]
