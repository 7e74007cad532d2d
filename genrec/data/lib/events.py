"""Events as dense codes, the part of the data (training, validation, test) that each belongs to, and counts of targets."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.core.dataset import Dataset
from genrec.engine.overrides import setting, shell_line
from genrec.errors import DataError
from genrec.protocols import RawData
from genrec.types import ITEM_ID, ITEM_IDX, SPLIT, SPLITS, USER_ID, USER_IDX

ROW = "row"  # column: number of the row in the input, from 0
EXACT_TIME = "exact_time"  # column: sorts as the times do where seconds as 64-bit floats cannot tell them apart
MIN_EVENTS = 3  # one to train on, one to validate, one to test


@dataclass(frozen=True)
class Events:
    """All interactions, with users and items as codes.

    Args:
        table: ``user_idx``, ``item_idx`` (rows of ``users`` and ``items``), ``row`` (number in the input), optional columns.
        users: ``user_id``, by first appearance.
        items: ``item_id`` and content, in the catalogue's order; by first appearance where there is no catalogue.
        has_catalog: whether items came in a table of their own: then items without events are kept (cold items).
    """

    table: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame
    has_catalog: bool

    @classmethod
    def of(cls, raw: RawData) -> Events:
        """Codes canonical data whose items are all in the catalogue."""
        users = raw.interactions.select(pl.col(USER_ID).unique(maintain_order=True))
        items = raw.items if raw.items is not None else raw.interactions.select(pl.col(ITEM_ID).unique(maintain_order=True))
        table = raw.interactions
        for names, idx in ((users, USER_IDX), (items.select(ITEM_ID), ITEM_IDX)):
            table = table.join(names.with_row_index(idx), on=names.columns[0], how="left", maintain_order="left")
        return cls(table.drop(USER_ID, ITEM_ID), users, items, raw.items is not None)

    @property
    def user_idx(self) -> np.ndarray:
        return self.table[USER_IDX].to_numpy()

    @property
    def item_idx(self) -> np.ndarray:
        return self.table[ITEM_IDX].to_numpy()

    @property
    def offsets(self) -> np.ndarray:
        """int64 [users + 1] of events that stand together by user."""
        counts = np.bincount(self.user_idx, minlength=self.users.height)
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def where(self, mask: np.ndarray) -> Events:
        """Selects events (bool [events]); users and items stay listed until ``compact``."""
        return replace(self, table=self.table.filter(pl.Series(mask)))

    def after(self, before: pl.DataFrame) -> Events:
        """Recodes the events for a catalogue that starts with the items ``before``, followed by the items that it lacks."""
        items = catalogue_after(before, self.items)
        moved = self.items.select(ITEM_ID).join(items.select(ITEM_ID).with_row_index(), on=ITEM_ID, maintain_order="left")
        column = moved["index"].gather(self.table[ITEM_IDX]).alias(ITEM_IDX)
        return replace(self, table=self.table.with_columns(column), items=items)

    def compact(self, kept_items: np.ndarray | None = None) -> Events:
        """Drops users without events, and the items not in ``kept_items`` (bool [items]), and codes the rest again.

        Without ``kept_items`` a catalogue stays complete; items without a catalogue are dropped with their last event.
        """
        has_user = np.bincount(self.user_idx, minlength=self.users.height) > 0
        if kept_items is None:
            occurs = np.bincount(self.item_idx, minlength=self.items.height) > 0
            kept_items = np.ones(self.items.height, bool) if self.has_catalog else occurs
        table = self.table.with_columns(
            pl.Series(USER_IDX, (np.cumsum(has_user) - 1)[self.user_idx].astype(np.uint32)),
            pl.Series(ITEM_IDX, (np.cumsum(kept_items) - 1)[self.item_idx].astype(np.uint32)),
        )
        users, items = self.users.filter(pl.Series(has_user)), self.items.filter(pl.Series(kept_items))
        return replace(self, table=table, users=users, items=items)


def catalogue_after(before: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The rows of ``before`` as they are, then those of ``items`` whose ``item_id`` it lacks.

    Raises:
        DataError: when later items lack a column, or one holds something else in the two.
    """
    later = items.join(before.select(ITEM_ID), on=ITEM_ID, how="anti", maintain_order="left")
    lacking = [name for name in before.columns if name not in later.columns]
    if later.height and lacking:  # nulls instead would give the items IDs without their content
        expected = f"the columns of the run that is extended ({', '.join(before.columns)})"
        raise DataError("items", expected=expected, got=f"no {lacking[0]}", fix="add it, empty where nothing is known")
    types = pl.Schema({name: kind for name, kind in before.schema.items() if name in later.columns and kind != pl.Null})
    try:
        return pl.concat([before, later.cast(types)], how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            "items", expected="columns of the types they have in the run that is extended", got=reason, fix="convert them"
        ) from error


@dataclass(frozen=True)
class Removed:
    """The events that one filter removed, and the users and items of which none is left.

    Args:
        by: the filter and its setting.
        interactions: number of events.
        users: number of users.
        items: number of items.
    """

    by: str
    interactions: int
    users: int
    items: int

    def __str__(self) -> str:
        if not (self.interactions or self.users or self.items):
            return f"{self.by}: removed nothing"
        return f"{self.by}: removed {self.interactions:,} interactions, {self.users:,} users, {self.items:,} items"

    def facts(self) -> dict[str, Any]:
        return asdict(self)


PARTS = ("train", "validation", "test")
WORDS = {
    "train": ("train", "training", "tr"),
    "validation": ("validation", "valid", "val", "dev", "eval"),
    "test": ("test", "testing", "te"),
}
_PART_OF_WORD = {word: PARTS.index(part) for part, words in WORDS.items() for word in words}
_KEYS = dict(zip(PARTS, ("data.interactions", "data.validation", "data.test"), strict=True))


def read_parts(
    train: Path, validation: Path | None, test: Path | None, read: Callable[[Path], pl.DataFrame]
) -> tuple[pl.DataFrame, str]:
    """Reads the files as one table, with a column ``split`` where there are several; returns it with a name for messages.

    Raises:
        DataError: when a file cannot be read, or names parts itself beside the files.
    """
    files = [(part, file) for part, file in zip(PARTS, (train, validation, test), strict=True) if file is not None]
    tables = [read(file) for _, file in files]
    if len(files) == 1:
        return tables[0], str(train)
    for (_, file), table in zip(files, tables, strict=True):
        if SPLIT in table.columns:
            fix = "give one file, or rename the column"
            raise DataError(
                file, expected="no column of parts, because the files are parts", got=f"a column {SPLIT!r}", fix=fix
            )
    tables = [table.with_columns(pl.lit(part).alias(SPLIT)) for (part, _), table in zip(files, tables, strict=True)]
    return pl.concat(tables, how="diagonal_relaxed"), " + ".join(str(file) for _, file in files)


def names_parts(column: pl.Series) -> bool:
    """Whether the values of a column are the names of parts, ``train`` and another one."""
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return False
    values = column.drop_nulls().unique().cast(pl.String)
    return len(values) <= 10 and _are_parts([_part_of([value.strip().lower()]) for value in values])


def refuse_parts(folder: Path, files: Sequence[Path]) -> None:
    """Refuses a folder whose files are named after the parts of a split, since one table of them would mix the parts.

    Raises:
        DataError: with the settings that read them.
    """
    parts = [_part_of(re.findall(r"[a-z]+", file.name.lower())) for file in files]
    if not _are_parts(parts):
        return
    fix = "give each part with a setting of its own: data.interactions, data.validation, data.test, and split=column"
    if len(set(parts)) == len(parts):
        of_part = dict(zip(parts, files, strict=True))
        keys = [setting(_KEYS[part], str(of_part[part])) for part in PARTS if part in of_part]
        fix = f"set {shell_line([*keys, 'split=column'])}"
    got = f"the parts of a split: {', '.join(file.name for file in files[:5])}"
    raise DataError(folder, expected="the files of one table", got=got, fix=fix)


def _part_of(words: Sequence[str]) -> str | None:
    """Returns the part that the words name; None where they name no part or several."""
    parts = [part for part in PARTS if set(words) & set(WORDS[part])]
    return parts[0] if len(parts) == 1 else None


def _are_parts(parts: Sequence[str | None]) -> bool:
    return None not in parts and PARTS[0] in parts and len(set(parts)) > 1


def parts_by_column(table: pl.DataFrame, file: str) -> pl.Series:
    """Returns the part of every event, int8 [events]: 0 train, 1 validation, 2 test.

    Args:
        table: events with a column ``split``.
        file: name of the file in messages.

    Raises:
        DataError: when there is no such column, or one of its values names no part.
    """
    if SPLIT not in table.columns:
        raise DataError(
            file,
            expected="a column that names the part of every event, for split=column",
            got="none",
            fix="name it with data.split=COLUMN, or give the parts as files: data.validation=FILE data.test=FILE",
        )
    names = table[SPLIT].cast(pl.String).str.strip_chars().str.to_lowercase()
    parts = names.replace_strict(_PART_OF_WORD, default=None, return_dtype=pl.Int8)
    if parts.null_count():
        row = int(parts.is_null().arg_max() or 0)
        raise DataError(
            f"{file}, row {(table[ROW][row] if ROW in table.columns else row) + 1}, column {SPLIT}",
            expected="train, validation (val, valid, dev) or test",
            got=f"{table[SPLIT][row]!r} ({parts.null_count():,} such rows)",
            fix="write one of these words in every row",
        )
    return parts


def target_facts(dataset: Dataset) -> dict[str, dict[str, float]]:
    """Counts for each split: ``targets``, ``users`` with targets, ``repeats`` (targets that occur in their history),
    ``unseen_items`` (targets whose item never occurs in the training part) and ``repeat_rate`` in [0, 1].
    """
    item, user, starts = dataset.events.item_idx, dataset.events.user_idx, dataset.events.offsets[:-1]
    pair, first = np.unique(user * dataset.num_items + item, return_index=True)
    seen = dataset.train_counts > 0
    facts: dict[str, dict[str, float]] = {}
    for split in SPLITS:
        history_ends = starts + dataset.histories(split).lengths
        targets = dataset.targets(split)
        first_seen = first[np.searchsorted(pair, targets.user_idx * dataset.num_items + targets.item_idx)]
        repeats = int((first_seen < history_ends[targets.user_idx]).sum())
        facts[split] = {
            "targets": len(targets.item_idx),
            "users": int((targets.lengths > 0).sum()),
            "repeats": repeats,
            "repeat_rate": repeats / max(len(targets.item_idx), 1),
            "unseen_items": int((~seen[targets.item_idx]).sum()),
        }
    return facts
