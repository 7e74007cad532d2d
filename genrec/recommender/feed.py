"""A nightly feed: its files, read into the columns of a bundle, and the changes that they make, all at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from genrec.data.lib.columns import replace_decimal_comma
from genrec.data.lib.files import read_table, require_columns
from genrec.errors import DataError
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.item_changes import Changes, ItemRows, item_rows, problems
from genrec.recommender.journal import ABSENT, REMOVED, Journal, Writing
from genrec.types import ITEM_ID

_DECIMAL_COMMA = r"^[+-]?[\d.]+,\d+$"
_LISTS = (".txt", ".list", "")  # suffixes of files that have one id a line


@dataclass(frozen=True)
class FeedFile:
    """The content of a file of items.

    Args:
        rows: the rows that fit.
        wrong: a line for each other row, with its number in the file.
        num_rows: rows of the file.
        passed_over: its columns that the bundle does not have.
        commas: columns of numbers that have a decimal comma although ``decimal`` is a point.
    """

    rows: list[dict[str, Any]]
    wrong: list[str]
    num_rows: int
    passed_over: list[str] = field(default_factory=list)
    commas: list[str] = field(default_factory=list)

    def to_item_rows(self, schema: Mapping[str, pl.DataType]) -> ItemRows:
        """Returns the rows in the columns of a catalogue."""
        return item_rows(self.rows, schema)


def read_feed(
    path: Path, schema: Mapping[str, pl.DataType], *, item: str = ITEM_ID, decimal: Literal[".", ","] = "."
) -> FeedFile:
    """Reads a table of items.

    Numbers written as text become numbers, ids may be whole numbers, and NaN becomes null. All other values must fit their
    column.

    Args:
        path: parquet, separated text or json lines.
        schema: of the bundle's items.
        item: the column of ids.
        decimal: the mark before the decimals of numbers in text files; with ``,`` a dot groups thousands.

    Raises:
        DataError: when the file cannot be read, or has no such column.
    """
    table = read_table(path, text=[item, *schema])
    require_columns([item], table.columns, str(path), " (--item COLUMN)")
    if item != ITEM_ID:
        table = table.drop(ITEM_ID, strict=False).rename({item: ITEM_ID})
    texts = [name for name, kind in table.schema.items() if kind == pl.String and name in schema and schema[name].is_numeric()]
    if decimal == ",":
        table = table.with_columns(replace_decimal_comma(table[name]) for name in texts)
    commas = [name for name in texts if table[name].str.contains(_DECIMAL_COMMA).any()]
    passed_over = [name for name in table.columns if name not in schema]
    kinds = {name: schema[name] for name in table.columns if name in schema}
    rows = [{name: _convert(row[name], kind) for name, kind in kinds.items()} for row in table.iter_rows(named=True)]
    wrong: dict[int, str] = {}
    for number, error in problems(rows, schema):
        where = error.where.removeprefix("items: ").removeprefix("items")
        reason = f"expected {error.expected}, got {error.got}; {error.fix}"
        wrong.setdefault(number, " ".join(f"{path}, row {number + 1}{f' ({where})' if where else ''}: {reason}".split()))
    sound_rows = [row for number, row in enumerate(rows) if number not in wrong]
    return FeedFile(sound_rows, [wrong[number] for number in sorted(wrong)], table.height, passed_over, commas)


def read_ids(path: Path, *, item: str = ITEM_ID) -> tuple[str, ...]:
    """Reads the ids of a file: a table with a column of them, or text with one a line.

    Raises:
        DataError: when it cannot be read, or a row has no id.
    """
    if path.suffix in _LISTS:
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(path, expected="a text of ids, one a line", got=str(error), fix="correct it") from error
        return tuple(dict.fromkeys(line.strip() for line in lines if line.strip() and line.strip() != item))
    column = read_table(path, columns=[item], required=[item])[item]
    ids = [_convert(value, pl.String()) for value in column]
    for number, item_id in enumerate(ids):
        if not isinstance(item_id, str) or not item_id:
            raise DataError(f"{path}, row {number + 1}", expected="an id", got=repr(item_id), fix="correct the row, or drop it")
    return tuple(dict.fromkeys(ids))


def _convert(value: Any, kind: pl.DataType) -> Any:
    """Returns a value in the type of its column if it is the same value, else as the file has it."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, str):
        text = value.strip()
        if kind == pl.String or kind.is_temporal():
            return value
        if not text:
            return None
        if kind == pl.Boolean:
            return {"true": True, "false": False, "1": True, "0": False}.get(text.lower(), value)
        if kind.is_numeric():
            return _number(text, whole=kind.is_integer(), otherwise=value)
    if isinstance(value, float) and kind.is_integer() and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and kind == pl.String:
        return str(value)
    return value


def _number(text: str, *, whole: bool, otherwise: str) -> Any:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        return otherwise


@dataclass(frozen=True)
class Step:
    """One of the steps of a feed.

    Args:
        apply: returns the catalogue after the step, and what changed.
        write: writes the change down.
    """

    apply: Callable[[Catalogue], tuple[Catalogue, Changes]]
    write: Callable[[Writing, Changes, Catalogue], None]


@dataclass(frozen=True, kw_only=True)
class Feed:
    """The content of one feed.

    Args:
        items: new ones, and known ones with the content they have now; None: none.
        removed: ids to take down.
        restored: ids to put back.
        full: ``items`` is the whole catalogue; items that it lacks are removed.
        returning: items that only an earlier full feed removed come back when ``items`` has them.
        reassign: known items whose content changed get the ID of their new content.
    """

    items: ItemRows | None = None
    removed: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    full: bool = False
    returning: bool = False
    reassign: bool = False

    def steps(self, catalogue: Catalogue, journal: Journal) -> Iterator[Step]:
        """Yields the steps in this order: items come or change, come back, go.

        Args:
            catalogue: before the feed.
            journal: the reason why each item is removed.
        """
        listed: set[str] = set() if self.items is None else set(self.items.frame[ITEM_ID])
        restored_ids = list(self.restored)
        if self.returning:
            restored_ids += [
                entry.item_id for entry in journal.entries() if entry.removed == ABSENT and entry.item_id in listed
            ]
        if self.items is not None:
            rows, reassign = self.items, self.reassign
            yield Step(
                lambda current: current.with_rows(rows, reassign=reassign),
                lambda writing, changes, current: write_items(writing, rows, changes, current, reassign=reassign),
            )
        if restored_ids:
            yield Step(
                lambda current: _without_unchanged(current.put_back(restored_ids)),
                lambda writing, changes, current: writing.mark(changes.restored, removed=0),
            )
        if self.full:
            missing = [item_id for item_id in catalogue.table.frame[ITEM_ID] if item_id not in listed]
            yield Step(
                lambda current: _removed_only(current.without_items(missing)),
                lambda writing, changes, current: writing.mark(changes.removed, removed=ABSENT),
            )
        if self.removed:
            removed_ids = [*self.removed]
            yield Step(
                lambda current: _without_unchanged(current.without_items(removed_ids)),
                lambda writing, changes, current: _mark_taken_down(writing, changes, removed_ids),
            )


def write_items(writing: Writing, items: ItemRows, changes: Changes, catalogue: Catalogue, *, reassign: bool) -> None:
    """Writes down the content that a call gave to items, as far as it changed something.

    Args:
        writing: a transaction.
        given: all that was said.
        changes: what the call changed.
        now: the catalogue after it.
        reassign: whether IDs followed the content.
    """
    ids = items.frame[ITEM_ID]
    added, updated = (np.array(ids.is_in(list(names))) for names in (changes.added, changes.updated))
    writing.add(items.select(added).named_values())
    writing.update(items.select(updated).named_values(), reassign=reassign)
    named = (*changes.added, *(changes.updated if reassign else ()))
    if named and catalogue.table.sids is not None:
        rows = [catalogue.table.idx[item_id] for item_id in named]
        writing.name(dict(zip(named, catalogue.table.sids.codes[rows].tolist(), strict=True)), catalogue.table.sids.layout)


def _mark_taken_down(writing: Writing, changes: Changes, removed_ids: list[str]) -> None:
    """Marks items as taken down, including those that a full feed had removed already."""
    unknown = set(changes.unknown)
    writing.mark(
        (item_id for item_id in removed_ids if item_id not in unknown and writing.entry(item_id).removed != REMOVED),
        removed=REMOVED,
    )


def _without_unchanged(result: tuple[Catalogue, Changes]) -> tuple[Catalogue, Changes]:
    """Drops the unchanged items from a step's changes: of a feed only its rows count as unchanged."""
    catalogue, changes = result
    return catalogue, Changes(removed=changes.removed, restored=changes.restored, unknown=changes.unknown)


def _removed_only(result: tuple[Catalogue, Changes]) -> tuple[Catalogue, Changes]:
    catalogue, changes = result
    return catalogue, Changes(removed=changes.removed)
