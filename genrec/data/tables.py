"""Your own tables: interactions, and optionally items, as parquet, csv or json lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genrec.data.files import read_table
from genrec.errors import DataError
from genrec.protocols import RawData
from genrec.types import EVENT_TYPE, ITEM_ID, POSITION, RATING, TIMESTAMP, USER_ID, WEIGHT


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Interactions, one row each, and items, one row each.

    The optional columns (``timestamp``, ``position``, ``rating``, ``event_type``, ``weight``) are found by these names when
    they are there; give a column's name where it differs, and then it must be there. ``order.by`` decides which of position
    and timestamp counts when both exist.

    Args:
        interactions: parquet, csv, tsv or json lines; the text formats also gzipped.
        items: the same; every column is kept and can be used by encoders. None: the items are those that occur.
        user_id: column of the user.
        item_id: column of the item.
        items_key: column of the item in ``items``; None: named as in ``interactions``.
        timestamp: column of the time: numbers (any unit, any origin), dates, or ISO text.
        position: column of the order within the user, whole numbers.
        rating: column that ``filters.min_rating`` looks at.
        event_type: column of the kind of event.
        weight: column of the event's weight.
    """

    interactions: Path
    items: Path | None = None
    user_id: str = USER_ID
    item_id: str = ITEM_ID
    items_key: str | None = None
    timestamp: str | None = None
    position: str | None = None
    rating: str | None = None
    event_type: str | None = None
    weight: str | None = None

    def load(self) -> RawData:
        """Reads both files.

        Raises:
            DataError: when a file or a named column is missing, or a file cannot be read.
        """
        required = {USER_ID: self.user_id, ITEM_ID: self.item_id}
        optional: dict[str, str | None] = {
            TIMESTAMP: self.timestamp,
            POSITION: self.position,
            RATING: self.rating,
            EVENT_TYPE: self.event_type,
            WEIGHT: self.weight,
        }
        wanted = required | {name: column or name for name, column in optional.items()}
        named = [column for column in optional.values() if column is not None]
        table = read_table(
            self.interactions, columns=list(dict.fromkeys(wanted.values())), required=[*required.values(), *named]
        )
        interactions = table.select(pl.col(column).alias(name) for name, column in wanted.items() if column in table.columns)
        files = {"interactions": str(self.interactions)}
        if self.items is None:
            return RawData(interactions=interactions, items=None, files=files)
        items = read_items(self.items, self.items_key or self.item_id)
        return RawData(interactions=interactions, items=items, files=files | {"items": str(self.items)})


def read_items(path: Path, key: str) -> pl.DataFrame:
    """A table of items, its column ``key`` renamed to ``item_id`` and put first.

    Raises:
        DataError: when the file cannot be read, lacks ``key``, or has another column of that name.
    """
    items = read_table(path, required=[key], text=[key])
    if key != ITEM_ID and ITEM_ID in items.columns:
        got = f"both {key!r} and {ITEM_ID!r}"
        raise DataError(path, expected="one column of item ids", got=got, fix=f"drop or rename the column {ITEM_ID!r}")
    return items.rename({key: ITEM_ID}).select(ITEM_ID, pl.exclude(ITEM_ID))
