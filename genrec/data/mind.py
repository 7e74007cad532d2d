"""MIND news (Wu et al., 2020) as it is published: ``behaviors.tsv`` and ``news.tsv``, tab-separated, without headers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genrec.data.lib.files import read_table, require_file
from genrec.data.lib.text_lines import TextFormat
from genrec.errors import DataError
from genrec.protocols import RawData
from genrec.types import ITEM_ID, POSITION, USER_ID

BEHAVIORS = ("impression", USER_ID, "time", "history", "impressions")
NEWS = (ITEM_ID, "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities")
CONTENT = (ITEM_ID, "title", "category", "subcategory", "abstract")
CLICKED = "-1"  # suffix of a clicked news item in an impression; the others end in -0
TIME = "%m/%d/%Y %I:%M:%S %p"


@dataclass(frozen=True, kw_only=True)
class Mind:
    """Reads a user's click history, followed by the clicks in the user's impressions in order of time.

    The history is the same in all impressions of a user and has no times, so events are ordered by a position. News that were
    shown and not clicked are not read.

    Args:
        folder: the folder of ``behaviors.tsv`` and ``news.tsv``.
    """

    folder: Path

    def load(self) -> RawData:
        """Reads both files.

        Raises:
            DataError: when a file is missing or cannot be read; naming the row of a time or an impression that is none.
        """
        behaviors, news = (require_file(self.folder / name, fix="unpack MIND there") for name in ("behaviors.tsv", "news.tsv"))
        table = read_table(behaviors, columns=BEHAVIORS, required=(USER_ID,), form=_form(BEHAVIORS))
        for name in ("history", "impressions"):  # where they hold anything
            table = table if name in table.columns else table.with_columns(pl.lit(None, pl.String).alias(name))
        times = table["time"].str.to_datetime(TIME, strict=False)
        shown = pl.col("impressions").fill_null("").str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
        table = table.with_columns(times.alias("when"), shown.alias("shown"))
        odd = (pl.col("when").is_null(), pl.col("shown").list.eval(~pl.element().str.contains("-[01]?$")).list.any())
        for column, test, expected in (
            ("time", odd[0], "a time like 11/11/2019 9:05:58 AM"),
            ("impressions", odd[1], "news ids with -1 or -0"),
        ):
            rows = table.select(test.alias("odd"))["odd"]
            if rows.any():
                row = int(rows.arg_max() or 0)
                where = f"{behaviors}, row {row + 1}, column {column}"
                raise DataError(where, expected=expected, got=repr(table[column][row]), fix="repair or remove the row")
        past = table.group_by(USER_ID, maintain_order=True).first().select(
            USER_ID, pl.col("history").fill_null("").str.split(" ").alias(ITEM_ID)
        )  # fmt: skip
        clicks = (
            table.sort("when", maintain_order=True)
            .select(USER_ID, pl.col("shown").alias(ITEM_ID))
            .explode(ITEM_ID)
            .filter(pl.col(ITEM_ID).str.ends_with(CLICKED))
            .with_columns(pl.col(ITEM_ID).str.strip_suffix(CLICKED))
        )
        events = pl.concat([past.explode(ITEM_ID).filter(pl.col(ITEM_ID) != ""), clicks])
        events = events.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).over(USER_ID).alias(POSITION))
        items = read_table(news, columns=NEWS, required=(ITEM_ID,), form=_form(NEWS))
        items = items.select(name for name in CONTENT if name in items.columns)
        return RawData(interactions=events, items=items, files={"interactions": str(behaviors), "items": str(news)})


def _form(names: tuple[str, ...]) -> TextFormat:
    return TextFormat(separator="\t", header=False, names=names, quote="none")
