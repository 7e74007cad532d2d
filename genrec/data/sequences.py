"""Reads one whole history per user: lines of text (S3-Rec, P5), json objects (LC-Rec, LETTER), or a table with lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genrec.data.lib.files import MISSING, read_items, read_table, require_columns
from genrec.data.lib.ids import lists_in
from genrec.data.lib.json_files import histories_of, read_document
from genrec.data.lib.text_lines import kind_of, text_lines
from genrec.errors import DataError, excerpt
from genrec.protocols import RawData
from genrec.types import ITEM_ID, POSITION, TIMESTAMP, USER_ID

TABLES = (".parquet", ".feather", ".arrow", ".ipc", ".jsonl", ".ndjson", ".json")
_AROUND, _INSIDE = "[](){}\"'`,;:|", ",;|"
_ENDS = ("-1", "-2")  # marks that end items and lines in SPMF's format


@dataclass(frozen=True, kw_only=True)
class SequenceFile:
    """Users' sequences, oldest first.

    Three forms: lines of text, ``user item item ...``, with white space or (where there is none) commas between them; a json
    object user -> list of items; a table with a column of lists, ``[1, 2]`` or ids with one separator also as text.

    Args:
        interactions: the file, plain or compressed.
        items: a table of items, or a json object of them by their id. None: the items are those that occur.
        items_key: the column of ``items`` that holds the ids of the histories.
        user_id: of a table: column of the user.
        item_id: of a table: column of the lists.
        timestamp: of a table: column of the lists of their times, or None.
        separator: between the ids of a list in text; None: found out.
    """

    interactions: Path
    items: Path | None = None
    items_key: str = ITEM_ID
    user_id: str = USER_ID
    item_id: str = ITEM_ID
    timestamp: str | None = None
    separator: str | None = None

    def load(self) -> RawData:
        """Reads both files."""
        return self.load_with(())

    def load_with(self, columns: Sequence[str]) -> RawData:
        """Reads both files, and further columns of a table where they are there: a list of values, one for each item.

        Raises:
            DataError: naming the line or row of a user without items, of a user's second line, or of what is no list of ids.
        """
        files = {"interactions": str(self.interactions)}
        notes: list[tuple[str, int]] = []
        document = read_document(self.interactions) if self.interactions.is_file() else None
        if (histories := histories_of(document)) is not None:
            lists = pl.Series(
                ITEM_ID, [[str(item) for item in items] for items in histories.values()], dtype=pl.List(pl.String)
            )
            table = self._explode(pl.DataFrame([pl.Series(USER_ID, list(histories), dtype=pl.String), lists]), notes)
        elif self._is_table():
            table = self._explode(self._table(columns), notes)
        else:
            table = self._lines()
        items = None if self.items is None else read_items(self.items, self.items_key)
        if self.items is not None:
            files["items"] = str(self.items)
        return RawData(interactions=table, items=items, files=files, notes=notes)

    def _is_table(self) -> bool:
        path = self.interactions
        if path.is_dir() or path.suffix.lower() == ".zip" or kind_of(path) in TABLES:
            return True
        for _, lines in text_lines(path):
            head = [word.strip("\"' ") for word in lines[0].replace("\t", ",").replace(";", ",").split(",")]
            return self.user_id in head and self.item_id in head
        return False

    def _table(self, further: Sequence[str]) -> pl.DataFrame:
        names = {USER_ID: self.user_id, ITEM_ID: self.item_id} | ({TIMESTAMP: self.timestamp} if self.timestamp else {})
        file = str(self.interactions)
        table = read_table(self.interactions, text=[self.user_id, *names.values()], missing=MISSING)
        require_columns(list(names.values()), table.columns, file, ", or set data.user_id and data.item_id")
        columns = [table[self.user_id].cast(pl.String).alias(USER_ID)]
        columns.append(lists_in(table[self.item_id], file, self.separator).alias(ITEM_ID))
        if self.timestamp:
            columns.append(self._aligned(table[self.timestamp], columns[1], "a time").alias(TIMESTAMP))
        for name in further:
            if name in table.columns and name not in (USER_ID, ITEM_ID, TIMESTAMP):
                columns.append(self._aligned(table[name], columns[1], "a value"))
        return pl.DataFrame(columns)

    def _aligned(self, values: pl.Series, items: pl.Series, what: str) -> pl.Series:
        """Returns lists that are as long as those of the items.

        Raises:
            DataError: naming the first row where one is not.
        """
        file = str(self.interactions)
        values = values.fill_null([]) if isinstance(values.dtype, pl.List) else lists_in(values, file, self.separator)
        differs = values.list.len() != items.list.len()
        if differs.any():
            row = int(differs.arg_max() or 0)
            got = f"{len(values[row])} for {len(items[row])} items"
            where = f"{file}, row {row + 1}, column {values.name}"
            raise DataError(where, expected=f"{what} for each item", got=got, fix="repair or remove the row")
        return values

    def _explode(self, table: pl.DataFrame, notes: list[tuple[str, int]]) -> pl.DataFrame:
        again = table[USER_ID].is_first_distinct().not_()
        if again.any():
            row = int(again.arg_max() or 0)
            raise DataError(
                f"{self.interactions}, row {row + 1}",
                expected="each user in one row",
                got=f"user {table[USER_ID][row]!r} again",
                fix="join the rows; if a row is a history and its target, read it with data=samples",
            )
        empty = int((table[ITEM_ID].list.len() == 0).sum())
        if empty:
            notes.append(("users without any item left out", empty))
            table = table.filter(pl.col(ITEM_ID).list.len() > 0)
        if table.height == 0:
            raise DataError(self.interactions, expected="users with items", got="none", fix="check the file")
        lists = [name for name in table.columns if name != USER_ID]
        places = pl.int_ranges(pl.col(ITEM_ID).list.len(), dtype=pl.Int64).alias(POSITION)
        return table.with_columns(places).explode(*lists, POSITION)

    def _lines(self) -> pl.DataFrame:
        separator = self.separator
        tables = []
        for first, lines in text_lines(self.interactions):
            separator = separator or _separator(lines)
            tables.append(self._events(first, lines, separator))
        table = pl.concat(tables)
        users = table[USER_ID]
        starts = table[POSITION] == 0
        again = users.filter(starts).is_first_distinct().not_()
        if again.any():
            pairs = table[POSITION].max() == 0
            line = table["line"].filter(starts).filter(again)[0]
            fix = "read them with data=tables data.header=false data.columns=[user_id,item_id]" if pairs else "join the lines"
            got = f"user {users.filter(starts).filter(again)[0]!r} again" + (" (every line is a pair)" if pairs else "")
            raise DataError(f"{self.interactions}, line {line}", expected="each user on one line", got=got, fix=fix)
        self._refuse_marks(table)
        return table.drop("line")

    def _refuse_marks(self, table: pl.DataFrame) -> None:
        """Raises DataError where every line ends with the same word that occurs nowhere else, or with a mark of SPMF."""
        last = table.group_by(USER_ID, maintain_order=True).last()
        words = last[ITEM_ID]
        if len(words) < 3 or words.n_unique() > 1:
            return
        if words[0] in _ENDS or (table[ITEM_ID] == words[0]).sum() == len(words):
            raise DataError(
                f"{self.interactions}, line {last['line'][0]}",
                expected="items up to the end of the line",
                got=f"{words[0]!r} at the end of every line, as a mark",
                fix="remove the marks from the lines",
            )

    def _events(self, first: int, lines: list[str], separator: str | None) -> pl.DataFrame:
        split = pl.col("text").str.split(separator).list.eval(pl.element().str.strip_chars())
        fields = (
            pl.DataFrame({"text": lines}, schema={"text": pl.String})
            .with_row_index("line", offset=first)
            .with_columns(fields=split if separator else pl.col("text").str.extract_all(r"\S+"))
            .filter(pl.col("text").str.strip_chars() != "")
        )
        lonely = fields.filter(pl.col("fields").list.len() == 1)
        if lonely.height:
            raise DataError(
                f"{self.interactions}, line {lonely['line'][0]}",
                expected="a user and at least one item",
                got=excerpt(lonely["text"][0]),
                fix="remove the line",
            )
        odd = pl.element().str.contains(r"^[\[\](){}\"'`,;:|]|[\[\](){}\"'`,;:|]$|[,;|]|^$")
        spoilt = fields.filter(pl.col("fields").list.eval(odd).list.any())
        if spoilt.height:
            word = next(word for word in spoilt["fields"][0] if not word or word[0] in _AROUND or word[-1] in _AROUND
                        or any(sign in word for sign in _INSIDE))  # fmt: skip
            raise DataError(
                f"{self.interactions}, line {spoilt['line'][0]}",
                expected="a user and items with blanks between them",
                got=excerpt(word),
                fix="take brackets, quotation marks and commas out, or give a table with a column of lists",
            )
        return fields.select(
            "line",
            pl.col("fields").list.first().alias(USER_ID),
            pl.col("fields").list.slice(1).alias(ITEM_ID),
            pl.int_ranges(pl.col("fields").list.len() - 1, dtype=pl.Int64).alias(POSITION),
        ).explode(ITEM_ID, POSITION)


def _separator(lines: list[str]) -> str | None:
    """Returns a comma where lines contain commas and no white space; None means white space."""
    sample = [line.strip() for line in lines[:1000] if line.strip()]
    return "," if sample and all("," in line and len(line.split()) == 1 for line in sample) else None
