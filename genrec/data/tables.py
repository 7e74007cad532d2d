"""Reads the user's own tables: interactions, and optionally items, as parquet, csv or json lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import polars as pl

from genrec.data.lib.columns import replace_decimal_comma
from genrec.data.lib.events import read_parts
from genrec.data.lib.files import MISSING, read_items, read_table
from genrec.data.lib.ids import Ids, holds_histories
from genrec.data.lib.text_lines import TextFormat
from genrec.data.lib.times import check_date_format
from genrec.errors import DataError, excerpt
from genrec.protocols import RawData
from genrec.types import EVENT_TYPE, ITEM_ID, POSITION, RATING, SPLIT, TIMESTAMP, USER_ID, WEIGHT


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
        split: column that says of each event whether it trains, validates or tests; ``split=column`` honours it.
        validation: a file of validation events, written as ``interactions``, which then holds those to train on.
        test: a file of test events.
        separator: of text files: ``auto`` (detected), ``tab``, ``blank`` (any white space) or the characters themselves.
        header: whether the first line of ``interactions`` names its columns.
        columns: names for the columns of ``interactions``, all of them in order: of a file without a header, or instead of its.
        encoding: of text files: ``auto`` (UTF-8, or what a mark at the start says), or a codec: cp1252, gb18030, shift_jis ...
        decimal: mark before the decimals of text files' numbers; with ``,`` a dot groups thousands.
        quote: ``auto``, ``double`` (fields may stand in quotation marks) or ``none`` (such a mark is a character like others).
        items_separator: of ``items``, where it differs; None: as ``separator``. Likewise for the next three.
        items_columns: names for the columns of ``items``, when that file has no header.
        items_encoding: of ``items``.
        items_decimal: of ``items``.
        date_format: how dates such as 01/02/2020 are read: ``auto`` (as the column shows, else refused), ``day_first``,
            ``month_first``, ``year_first``, ``number`` (digits that only look like dates), or a format such as ``%d/%m/%Y``.
        ids: ``clean`` (without blanks around them, 12.0 as 12), ``verbatim``, ``numbers`` (007 as 7) or ``lower_case``.
        missing_values: text that stands for a missing value; None: NA, NULL, nan, None and their like. ``[]``: none.
        users: a table of users, one row each, for ``events.users``; None: there is none.
        users_key: column of the user in ``users``; None: named as in ``interactions``.
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
    split: str | None = None
    validation: Path | None = None
    test: Path | None = None
    separator: str = "auto"
    header: bool = True
    columns: Sequence[str] | None = None
    encoding: str = "auto"
    decimal: Literal[".", ","] = "."
    quote: Literal["auto", "double", "none"] = "auto"
    items_separator: str | None = None
    items_columns: Sequence[str] | None = None
    items_encoding: str | None = None
    items_decimal: Literal[".", ","] | None = None
    date_format: str = "auto"
    ids: Ids = "clean"
    missing_values: Sequence[str] | None = None
    users: Path | None = None
    users_key: str | None = None

    def __post_init__(self) -> None:
        check_date_format(self.date_format)
        _ = self.form, self.items_form  # refuses an impossible format before any file is read

    @property
    def form(self) -> TextFormat:
        """How ``interactions`` is written, where it is text."""
        return TextFormat(
            separator=self.separator,
            header=self.header,
            names=self.columns,
            encoding=self.encoding,
            decimal=self.decimal,
            quote=self.quote,
            settings="data.",
        )

    @property
    def items_form(self) -> TextFormat:
        """How ``items`` is written, where it is text."""
        return TextFormat(
            separator=self.items_separator or self.separator,
            header=self.items_columns is None,
            names=self.items_columns,
            encoding=self.items_encoding or self.encoding,
            decimal=self.items_decimal or self.decimal,
            quote=self.quote,
            settings="data.items_",
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Text that stands for a missing value."""
        return MISSING if self.missing_values is None else tuple(self.missing_values)

    def load(self) -> RawData:
        """Reads both files."""
        return self.load_with(())

    def load_with(self, columns: Sequence[str]) -> RawData:
        """Reads both files, and further columns of the interactions where they are there.

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
            SPLIT: self.split,
        }
        names = required | {name: column or name for name, column in optional.items()}
        names |= {name: name for name in columns if name not in names}
        named = [column for column in optional.values() if column is not None]
        notes: list[tuple[str, int]] = []

        def read(file: Path) -> pl.DataFrame:
            table = read_table(
                file,
                columns=list(dict.fromkeys(names.values())),
                required=[*required.values(), *named],
                form=self.form,
                missing=self.missing,
                notes=notes,
            )
            return table.select(pl.col(column).alias(name) for name, column in names.items() if column in table.columns)

        interactions, file = read_parts(self.interactions, self.validation, self.test, read)
        if self.ids != "verbatim" and holds_histories(interactions[ITEM_ID], interactions[USER_ID]):
            raise DataError(
                f"{file}, row 1, column {self.item_id}",
                expected="one id in each row",
                got=f"what looks like a list, {excerpt(interactions[ITEM_ID][0])}",
                fix="read it with data=sequences, or set data.ids=verbatim if such ids are right as they stand",
            )
        if self.decimal == ",":
            numbers = [name for name in (TIMESTAMP, RATING, WEIGHT) if interactions.schema.get(name) == pl.String]
            interactions = interactions.with_columns(replace_decimal_comma(interactions[name]) for name in numbers)
        raw = RawData(
            interactions=interactions,
            items=None,
            notes=notes,
            files={"interactions": file},
            columns={name: column for name, column in names.items() if name in interactions.columns},
            date_format=self.date_format,
            ids=self.ids,
        )
        if self.users is not None:
            users = read_items(self.users, self.users_key or self.user_id, form=self.form, missing=self.missing, notes=notes)
            renamed = users.rename({ITEM_ID: USER_ID})
            raw = replace(raw, users=renamed, files={**raw.files, "users": str(self.users)})
        if self.items is None:
            return raw
        key = self.items_key or self.item_id
        items = read_items(self.items, key, form=self.items_form, missing=self.missing, notes=notes)
        return replace(raw, items=items, files={**raw.files, "items": str(self.items)})
