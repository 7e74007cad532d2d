"""Reads tables of training samples: a row is a history and the item that came next (MiniOneRec, ColaRec, Amazon-M2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from genrec.data.lib.canonical import text_ids
from genrec.data.lib.events import PARTS, parts_by_column, read_parts
from genrec.data.lib.files import MISSING, read_items, read_table
from genrec.data.lib.ids import lists_in
from genrec.data.lib.shapes import HISTORY, TARGET, find_column, usual_column
from genrec.errors import DataError
from genrec.protocols import RawData
from genrec.types import ITEM_ID, POSITION, SPLIT, USER_ID


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Joins samples to the histories of the users that they were cut from.

    The rows of a user, shorter histories first, must continue one another: each history is the end of the history joined so far
    (or contains it), and its target comes next. So an event counts once, however many samples contain it. Where rows come from
    sessions without a user, each row is a separate history.

    ``split=column`` holds out the targets of the rows of ``validation`` and ``test`` (or of rows whose column ``split`` has
    these values). All other events train, including the histories of held-out rows.

    Args:
        interactions: the rows, or those to train on.
        validation: a file of rows whose targets validate.
        test: a file of rows whose targets test.
        history: column of the lists (lists, or text: ``[1, 2]``, ``['a' 'b']``, ids with one separator); null: by its name.
        target: column of the next item; null: by its name.
        user_id: column of the user; null: by its name, where there is one.
        split: column of the part; null: ``split``, where there is one.
        users: ``merge`` the rows of a user; ``rows``: each row is a user of its own.
        separator: between the ids of a history in text; None: found out.
        items: a table of items. None: the items are those that occur.
        items_key: the column of ``items`` that holds the ids.
    """

    interactions: Path
    validation: Path | None = None
    test: Path | None = None
    history: str | None = None
    target: str | None = None
    user_id: str | None = None
    split: str | None = None
    users: Literal["merge", "rows"] = "merge"
    separator: str | None = None
    items: Path | None = None
    items_key: str = ITEM_ID

    def load(self) -> RawData:
        """Reads the files and joins the rows.

        Raises:
            DataError: when a file cannot be read, or rows of a user do not continue one another; naming the row.
        """
        table, file = read_parts(self.interactions, self.validation, self.test, self._read)
        parts = _parts(table, file)
        rows = zip(table[USER_ID], table[HISTORY], table[TARGET], parts, strict=True)
        merged: dict[str, _MergedHistory] = {}
        numbered = sorted(enumerate(rows), key=lambda entry: (entry[1][3], len(entry[1][1])))
        for row, (user, history, target, part) in numbered:
            if not merged.setdefault(user, _MergedHistory()).add(history, target, part):
                raise DataError(
                    f"{file}, row {row + 1}",
                    expected=f"a history that continues the other rows of user {user!r}",
                    got=f"{' '.join(history[-5:])} -> {target} (before: {' '.join(merged[user].items[-5:])})",
                    fix="set data.users=rows to take each row for a history of its own",
                )
        sorted_users = list(dict.fromkeys(table[USER_ID]))
        columns = {
            USER_ID: [user for user in sorted_users for _ in merged[user].items],
            ITEM_ID: [item for user in sorted_users for item in merged[user].items],
            POSITION: [position for user in sorted_users for position in range(len(merged[user].items))],
        }
        if SPLIT in table.columns:
            columns[SPLIT] = [PARTS[part] for user in sorted_users for part in merged[user].parts]
        interactions = pl.DataFrame(columns, schema_overrides={USER_ID: pl.String, ITEM_ID: pl.String, POSITION: pl.Int64})
        notes = [(f"samples of {len(merged):,} users, whose events they hold", table.height)]
        files = {"interactions": file}
        if self.items is None:
            return RawData(interactions=interactions, items=None, files=files, notes=notes)
        items = read_items(self.items, self.items_key)
        return RawData(interactions=interactions, items=items, files=files | {"items": str(self.items)}, notes=notes)

    def _read(self, file: Path) -> pl.DataFrame:
        """Reads a table of user_id, history (lists of text), target and, where there is one, split."""
        table = read_table(file, missing=MISSING)
        names = table.columns
        history = find_column(self.history, names, HISTORY, str(file))
        target = find_column(self.target, [name for name in names if name != history], TARGET, str(file))
        user = find_column(self.user_id, names, USER_ID, str(file)) if self.user_id else usual_column(names, USER_ID)
        split = find_column(self.split, names, SPLIT, str(file)) if self.split else SPLIT if SPLIT in names else None
        rows = pl.int_range(table.height, eager=True).cast(pl.String)
        if user in (None, target, history) or user is None:
            users = rows
        elif self.users == "rows":
            users = text_ids(table[user].alias(USER_ID), str(file)) + "#" + rows
        else:
            users = text_ids(table[user].alias(USER_ID), str(file))
        columns = [
            users.alias(USER_ID),
            lists_in(table[history], str(file), self.separator).alias(HISTORY),
            text_ids(table[target].alias(TARGET), str(file)),
        ]
        if split is not None:
            columns.append(table[split].cast(pl.String).alias(SPLIT))
        return pl.DataFrame(columns)


@dataclass
class _MergedHistory:
    """The events of one user joined so far: the items and the part of each."""

    items: list[str] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)

    def add(self, history: Sequence[str], target: str, part: int) -> bool:
        """Adds a sample; returns False when it does not continue the history."""
        history = list(history)
        if not self.items or self.items == history[-len(self.items) :]:  # the same, or longer at its start
            added = len(history) - len(self.items)
            self.items, self.parts = history, [0] * added + self.parts
        elif self.items[-len(history) :] != history and history:
            return self._holds([*history, target], part)
        self.items.append(target)
        self.parts.append(part)
        return True

    def _holds(self, sample: list[str], part: int) -> bool:
        """Whether the history contains the sample already, with the target in the same part."""
        for start in range(len(self.items) - len(sample), -1, -1):
            if self.items[start : start + len(sample)] == sample and self.parts[start + len(sample) - 1] == part:
                return True
        return False


def _parts(table: pl.DataFrame, file: str) -> list[int]:
    return parts_by_column(table, file).to_list() if SPLIT in table.columns else [0] * table.height
