"""One user per line: ``user item item item ...``, oldest first; the text format of S3-Rec and P5."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genrec.data.files import text_lines
from genrec.data.tables import read_items
from genrec.errors import DataError
from genrec.protocols import RawData
from genrec.types import ITEM_ID, POSITION, USER_ID


@dataclass(frozen=True, kw_only=True)
class SequenceFile:
    """Users' sequences as lines of text, fields separated by white space.

    Args:
        interactions: the text file, plain or gzipped.
        items: a table of items (parquet, csv, tsv, json lines). None: the items are those that occur.
        items_key: the column of ``items`` that holds the ids of the text file.
    """

    interactions: Path
    items: Path | None = None
    items_key: str = ITEM_ID

    def load(self) -> RawData:
        """Reads both files.

        Raises:
            DataError: naming the line of a user without items or of a user's second line.
        """
        files = {"interactions": str(self.interactions)}
        table = pl.concat([self._events(first, lines) for first, lines in text_lines(self.interactions)])
        users = table[USER_ID]
        starts = table[POSITION] == 0
        again = users.filter(starts).is_first_distinct().not_()
        if again.any():
            line = table["line"].filter(starts).filter(again)[0]
            raise DataError(
                f"{self.interactions}, line {line}",
                expected="each user on one line",
                got=f"user {users.filter(starts).filter(again)[0]!r} again",
                fix="join the lines",
            )
        items = None if self.items is None else read_items(self.items, self.items_key)
        if self.items is not None:
            files["items"] = str(self.items)
        return RawData(interactions=table.drop("line"), items=items, files=files)

    def _events(self, first: int, lines: list[str]) -> pl.DataFrame:
        fields = (
            pl.DataFrame({"text": lines}, schema={"text": pl.String})
            .with_row_index("line", offset=first)
            .with_columns(fields=pl.col("text").str.extract_all(r"\S+"))
            .filter(pl.col("fields").list.len() > 0)
        )
        lonely = fields.filter(pl.col("fields").list.len() == 1)
        if lonely.height:
            raise DataError(
                f"{self.interactions}, line {lonely['line'][0]}",
                expected="a user and at least one item",
                got=repr(lonely["text"][0]),
                fix="remove the line",
            )
        return fields.select(
            "line",
            pl.col("fields").list.first().alias(USER_ID),
            pl.col("fields").list.slice(1).alias(ITEM_ID),
            pl.int_ranges(pl.col("fields").list.len() - 1, dtype=pl.Int64).alias(POSITION),
        ).explode(ITEM_ID, POSITION)
