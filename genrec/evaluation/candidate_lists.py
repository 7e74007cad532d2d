"""Candidates of an evaluation: a table of the items that each user's list may hold, for the model and every baseline alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool

from genrec.core.dataset import Dataset, users_with_targets
from genrec.data.lib.canonical import text_ids
from genrec.data.lib.files import read_table
from genrec.engine.fingerprints import sha256_file
from genrec.errors import DataError, did_you_mean
from genrec.references import expand_path
from genrec.types import ITEM_ID, ITEM_IDX, SPLIT, SPLITS, USER_ID, USER_IDX, Split

KEY = "recommend.candidates"


@dataclass(frozen=True)
class CandidateLists:
    """The items that each user's list may have.

    Args:
        keys: split -> sorted int64, ``user_idx * num_items + item_idx`` of every candidate.
        num_items: of the catalogue.
        facts: what figures by these candidates have to say: ``sha256`` of the table, mean and largest number a user.
        doubts: what a reader of the figures has to know.
    """

    keys: Mapping[Split, np.ndarray]
    num_items: int
    facts: dict[str, Any]
    doubts: list[str]

    def allowed(self, split: Split, users: np.ndarray) -> Bool[np.ndarray, "users items"]:
        """Which items may be listed for some users (rows of the dataset)."""
        keys, mask = self.keys[split], np.zeros((len(users), self.num_items), bool)
        starts = np.searchsorted(keys, np.asarray(users, np.int64) * self.num_items)
        ends = np.searchsorted(keys, (np.asarray(users, np.int64) + 1) * self.num_items)
        for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
            mask[row, keys[start:end] % self.num_items] = True
        return mask

    def mask(self, split: Split) -> Callable[[np.ndarray], np.ndarray]:
        """``allowed`` of one split."""
        return lambda users: self.allowed(split, users)

    def check(self, lists: pl.DataFrame, dataset: Dataset, file: str) -> None:
        """Raises DataError for a list that holds another item than the user's candidates."""
        lists = _numbered(lists, dataset)
        for split, keys in self.keys.items():
            rows = lists.filter(pl.col(SPLIT) == split, pl.col(USER_IDX).is_not_null(), pl.col(ITEM_IDX).is_not_null())
            listed = rows[USER_IDX].to_numpy().astype(np.int64) * self.num_items + rows[ITEM_IDX].to_numpy()
            outside = rows.filter(pl.Series(~np.isin(listed, keys)))
            if outside.height:
                raise DataError(
                    f"{file}, user {outside[USER_ID][0]}",
                    expected=f"candidates of the user only, because {KEY} is given",
                    got=f"item {outside[ITEM_ID][0]} ({outside.height:,} such {split} rows)",
                    fix=f"leave {KEY} out, or rank the candidates alone",
                )


def read_candidates(
    file: Path | None, dataset: Dataset, splits: Sequence[Split], log: Callable[[str], None]
) -> CandidateLists | None:
    """The candidates of a table, or None without one.

    Args:
        file: parquet, csv, tsv or json lines with ``user_id``, ``item_id`` and, where more than test lists are made, ``split``.
        dataset: whose users and items.
        splits: that lists are made for.
        log: prints a line.

    Raises:
        DataError: when columns are missing, a user with a target has no candidate, or no row is of this dataset.
    """
    if file is None:
        return None
    path = expand_path(str(file))
    table = read_table(path, columns=(USER_ID, ITEM_ID, SPLIT), required=(USER_ID, ITEM_ID))
    columns = [text_ids(table[USER_ID], str(path)), text_ids(table[ITEM_ID], str(path))]
    parts = table[SPLIT].cast(pl.String) if SPLIT in table.columns else pl.repeat("test", table.height, eager=True)
    for part in parts.unique().to_list():
        if part not in SPLITS:
            where = f"{path}, column {SPLIT}"
            raise DataError(where, expected="validation or test", got=str(part), fix=did_you_mean(str(part), SPLITS))
    numbered = _numbered(pl.DataFrame([*columns, parts.alias(SPLIT)]), dataset)
    matched = numbered.drop_nulls([USER_IDX, ITEM_IDX])
    if matched.height == 0:
        got = f"user {table[USER_ID][0]!r} with item {table[ITEM_ID][0]!r} and no known pair"
        raise DataError(path, expected="users and items of the dataset", got=got, fix="write the ids of the interactions file")
    if strangers := numbered[ITEM_IDX].null_count():
        log(f"candidates: {strangers:,} of {table.height:,} rows are of items that the dataset lacks, left out")
    keys: dict[Split, np.ndarray] = {}
    sizes, doubts = [], []
    for split in splits:
        rows = matched.filter(pl.col(SPLIT) == split)
        of_split = rows[USER_IDX].to_numpy().astype(np.int64) * dataset.num_items + rows[ITEM_IDX].to_numpy()
        keys[split] = np.unique(of_split)
        counts = np.bincount(keys[split] // dataset.num_items, minlength=dataset.num_users)
        users = users_with_targets(dataset, split)
        without = users[counts[users] == 0]
        if len(without):
            fix = "add rows for them" if rows.height else f"add a column split, or set recommend.splits=[{_other(split)}]"
            raise DataError(
                path,
                expected=f"candidates for every user with a {split} target",
                got=f"none for user {dataset.user_ids[int(without[0])]!r} ({len(without):,} such users)",
                fix=fix,
            )
        sizes.append(counts[users])
        targets = dataset.targets(split)
        listed = np.isin(targets.user_idx.astype(np.int64) * dataset.num_items + targets.item_idx, keys[split])
        if not listed.all():
            doubts.append(
                f"{int((~listed).sum()):,} of {len(listed):,} {split} targets are not among their user's candidates "
                "and count as misses"
            )
    number = np.concatenate(sizes) if sizes else np.zeros(1, int)
    facts = {"sha256": sha256_file(path)[:16], "mean": round(float(number.mean()), 2), "largest": int(number.max(initial=0))}
    log(f"candidates: {facts['mean']:g} items a user (at most {facts['largest']:,}) of {dataset.num_items:,}, from {path}")
    doubts.append(
        f"lists are ranked among {facts['mean']:g} candidates a user, not among all {dataset.num_items:,} items: figures of "
        "full ranking do not compare with these"
    )
    return CandidateLists(keys, dataset.num_items, facts, doubts)


def _numbered(table: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    users = pl.DataFrame({USER_ID: dataset.user_ids}).with_row_index(USER_IDX)
    items = pl.DataFrame({ITEM_ID: dataset.item_ids}).with_row_index(ITEM_IDX)
    return table.join(users, on=USER_ID, how="left").join(items, on=ITEM_ID, how="left")


def _other(split: Split) -> Split:
    return "test" if split == "validation" else "validation"
