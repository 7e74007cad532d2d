"""Reads sessions that hold their events as a list of objects (OTTO; playlists with tracks)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genrec.data.lib.files import MISSING, read_items, read_table
from genrec.data.lib.shapes import find_column, nested_columns, usual_column
from genrec.errors import DataError, join_names
from genrec.protocols import RawData
from genrec.types import EVENT_TYPE, ITEM_ID, POSITION, TIMESTAMP, USER_ID


@dataclass(frozen=True, kw_only=True)
class NestedEvents:
    """A table with one row per session or user, whose events are in a column of lists of objects.

    Args:
        interactions: json lines, one json value, or parquet.
        events: the column of the lists; null: the only one that holds lists of objects.
        user_id: column of the session or user; null: by its name.
        item_id: field of an event; null: by its name.
        timestamp: field of an event; null: by its name, where there is one.
        event_type: field of an event; null: by its name, where there is one.
        items: a table of items. None: the items are those that occur.
        items_key: the column of ``items`` that holds the ids.
    """

    interactions: Path
    events: str | None = None
    user_id: str | None = None
    item_id: str | None = None
    timestamp: str | None = None
    event_type: str | None = None
    items: Path | None = None
    items_key: str = ITEM_ID

    def load(self) -> RawData:
        """Reads the file."""
        return self.load_with(())

    def load_with(self, columns: Sequence[str]) -> RawData:
        """Reads the file, and further fields of the events where they are there.

        Events without a time are ordered by their position in the list.

        Raises:
            DataError: when there is no such list, or a column or field is missing.
        """
        file = str(self.interactions)
        table = read_table(self.interactions, missing=MISSING)
        nested = nested_columns(table)
        if self.events is None and len(nested) != 1:
            fix = "name it: data.events=COLUMN" if nested else "read it with data=tables"
            got = f"{join_names(nested)} of columns {join_names(table.columns)}"
            raise DataError(file, expected="one column of lists of objects", got=got, fix=fix)
        events = self.events or nested[0]
        if events not in nested:
            got = f"columns {join_names(table.columns)}; such lists: {join_names(nested)}"
            raise DataError(
                file, expected=f"a column {events!r} of lists of objects", got=got, fix="name it: data.events=COLUMN"
            )
        others = [name for name in table.columns if name != events]
        user = find_column(self.user_id, others, USER_ID, file)
        empty = int((table[events].list.len().fill_null(0) == 0).sum())
        rows = table.select(pl.col(user).alias(USER_ID), pl.col(events)).filter(pl.col(events).list.len() > 0)
        places = pl.int_ranges(pl.col(events).list.len(), dtype=pl.Int64).alias(POSITION)
        rows = rows.with_columns(places).explode(events, POSITION)
        fields = rows[events].struct.unnest()
        chosen = {ITEM_ID: find_column(self.item_id, fields.columns, ITEM_ID, file)}
        for kind, column in ((TIMESTAMP, self.timestamp), (EVENT_TYPE, self.event_type)):
            name = find_column(column, fields.columns, kind, file) if column else usual_column(fields.columns, kind)
            if name is not None and name not in chosen.values():
                chosen[kind] = name
        chosen |= {name: name for name in columns if name not in chosen and name in fields.columns}
        series = [rows[USER_ID], *(fields[name].alias(kind) for kind, name in chosen.items())]
        if TIMESTAMP not in chosen:
            series.append(rows[POSITION])
        notes = [("sessions without any event left out", empty)] if empty else []
        files = {"interactions": file}
        if self.items is None:
            return RawData(interactions=pl.DataFrame(series), items=None, files=files, notes=notes)
        items = read_items(self.items, self.items_key)
        return RawData(interactions=pl.DataFrame(series), items=items, files=files | {"items": str(self.items)}, notes=notes)
