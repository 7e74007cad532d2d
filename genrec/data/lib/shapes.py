"""Recognizes what a file of interactions holds, rows of events or another shape, and which column is its history or target."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from genrec.data.lib.columns import columns_by_name
from genrec.data.lib.files import read_table
from genrec.data.lib.ids import are_ids, holds_histories, is_bracketed, separator_of
from genrec.data.lib.json_files import histories_of, read_document
from genrec.data.lib.text_lines import kind_of, text_chunks
from genrec.errors import DataError, join_names
from genrec.types import EVENT_TYPE, ITEM_ID, SPLIT, TIMESTAMP, USER_ID

HISTORY, TARGET = "history", "target"
# Usual names of columns, letters and digits only, the clearest first.
NAMES: Mapping[str, str] = {
    HISTORY: """history historyitemid historyitemids historyids historyitems itemhistory inters previtems previousitems
        pastitems past hist histitems histitemid sequence seq itemsequence itemseq itemids items itemlist
        itemidlist clickeditems basket products productids articles articleids inputids input inputitems context""",
    TARGET: """target targetid targetitem targetitemid nextitem nextitemid labelid label labels itemid item parentasin asin
        output groundtruth positive""",
    USER_ID: "userid user uid reviewerid customerid visitorid sessionid session playlistid pid id",
    ITEM_ID: "itemid item iid aid productid parentasin asin sku trackid trackuri movieid articleid newsid videoid id",
    TIMESTAMP: "timestamp ts time unixtime datetime eventtime timems createdat date",
    EVENT_TYPE: "type eventtype event action behavior",
}  # fmt: skip
_SEQUENCES = "genrec.data.sequences.SequenceFile"
_SAMPLES = "genrec.data.samples.Samples"
_NESTED = "genrec.data.nested.NestedEvents"
_HEAD = 200  # rows or lines that are looked at


@dataclass(frozen=True)
class Shape:
    """A shape of a file that is not rows of events.

    Args:
        option: the data option that reads it.
        target: its class.
        settings: the settings that this file needs.
        why: a description of the file.
    """

    option: str
    target: str
    settings: dict[str, Any]
    why: str


def shape_of(path: Path) -> Shape | None:
    """Returns the shape of a file, or None for rows of events (and for a file that its reader will refuse)."""
    try:
        if path.is_file() and (histories := histories_of(read_document(path))) is not None:
            return Shape("sequences", _SEQUENCES, {}, f"one json object of {len(histories):,} users with lists of items")
        if (
            path.is_file()
            and kind_of(path) in (".txt", ".dat", ".data", ".csv", ".tsv", ".tab", ".seq")
            and _has_ragged_lines(path)
        ):
            return Shape("sequences", _SEQUENCES, {}, "one user a line, followed by the items")
        return _shape_of_table(read_table(path))
    except DataError:
        return None


def _shape_of_table(table: pl.DataFrame) -> Shape | None:
    if nested := nested_columns(table):
        return Shape("nested", _NESTED, {"events": nested[0]}, f"sessions, with their events in the column {nested[0]!r}")
    lists = [name for name in table.columns if holds_lists(table[name])]
    items = columns_by_name(table.columns, ITEM_ID)
    users = columns_by_name(table.columns, USER_ID, items)
    if not lists and items and users and holds_histories(table[items[0]], table[users[0]]):
        lists = [items[0]]
    if not lists:
        return None
    user = usual_column([name for name in table.columns if name not in lists], USER_ID)
    history = usual_column(lists, HISTORY)
    others = [name for name in table.columns if name not in lists and name != user]
    target = usual_column(others, TARGET)
    if history is not None and target is not None and (user is None or table[user].dtype != pl.Float64):
        settings = {"history": history, "target": target} | ({"user_id": user} if user else {})
        settings |= {"split": SPLIT} if SPLIT in table.columns else {}
        return Shape(
            "samples", _SAMPLES, settings, f"samples: rows of a history ({history!r}) and the item that came next ({target!r})"
        )
    if user is not None and target is None:
        column = usual_column(lists, HISTORY) or lists[0]
        settings = {"user_id": user, "item_id": column}
        return Shape("sequences", _SEQUENCES, settings, f"users with lists of items in the column {column!r}")
    return None


def holds_lists(column: pl.Series) -> bool:
    """Whether the fields of a column are lists of ids."""
    if isinstance(column.dtype, pl.List):
        return not isinstance(column.dtype.inner, pl.Struct | pl.List)
    if column.dtype != pl.String:
        return False
    sample = column.drop_nulls().head(_HEAD).to_list()
    if is_bracketed(sample):
        return True
    named = usual_column([column.name], HISTORY) is not None
    sign = separator_of(sample) if named and sample else None
    return sign is not None and are_ids([part for text in sample for part in text.split(sign if sign != " " else None)])


def _has_ragged_lines(path: Path) -> bool:
    """Whether lines are a user and a varying number of items, blanks (or only commas) between them, without a header."""
    for _, text in text_chunks(path, block_bytes=1 << 20):
        lines = [line for line in text.split("\n") if line.strip()][:_HEAD]
        fields = [line.split() for line in lines]
        if all(len(words) == 1 for words in fields):
            fields = [line.split(",") for line in lines]
        widths = {len(words) for words in fields}
        users = [words[0] for words in fields]
        return (
            len(lines) > 1
            and len(widths) > 1
            and min(widths) > 1
            and len(set(users)) == len(users)
            and are_ids([word for words in fields for word in words])
        )
    return False


def nested_columns(table: pl.DataFrame) -> list[str]:
    """The columns that hold lists of objects."""
    return [name for name, dtype in table.schema.items() if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct)]


def usual_column(columns: Sequence[str], kind: str) -> str | None:
    """Returns the column with a usual name of ``kind``, or None."""
    plain = {re.sub(r"[^a-z0-9]", "", column.lower()): column for column in reversed(columns)}
    return next((plain[name] for name in NAMES[kind].split() if name in plain), None)


def find_column(setting: str | None, columns: Sequence[str], kind: str, file: str) -> str:
    """The column that the setting names, or without a setting the one that is ``kind`` by its name.

    Raises:
        DataError: when there is none.
    """
    name = setting if setting in columns else None if setting else usual_column(columns, kind)
    if name is None:
        expected = f"a column {setting!r}" if setting else f"a column that looks like {kind}"
        raise DataError(file, expected=expected, got=f"columns {join_names(columns)}", fix=f"name it: data.{kind}=COLUMN")
    return name
