"""What tells items of a catalogue apart in words: their category and their brand, as numbers that can be counted."""

from __future__ import annotations

import numpy as np
import polars as pl

from genrec.dataset import Dataset
from genrec.metrics.categories import AUTO, PART, PLACE, category_column, category_parts
from genrec.types import ITEM_ID, ITEM_IDX

BRAND = "brand"


def item_labels(items: pl.DataFrame) -> dict[str, pl.Series]:
    """``category`` (the last one that an item lists) and ``brand`` of each item, as far as the catalogue has such columns.

    Examples:
        >>> item_labels(pl.DataFrame({"categories": ["Shoes > Boots", None]}))["category"].to_list()
        ['Boots', None]
    """
    found = {}
    if (column := category_column(items, AUTO)) is not None:
        last = category_parts(items[column]).sort(ITEM_IDX, PLACE).group_by(ITEM_IDX).agg(pl.col(PART).last())
        rows = pl.DataFrame({ITEM_IDX: pl.int_range(items.height, eager=True)})
        last = last.cast({ITEM_IDX: pl.Int64})
        found["category"] = rows.join(last, on=ITEM_IDX, how="left", maintain_order="left")[PART]
    if BRAND in items.columns:
        found[BRAND] = items[BRAND].cast(pl.String)
    return found


def numbered(labels: pl.Series) -> tuple[list[str], np.ndarray]:
    """The distinct labels, the most frequent first, and the place of each row's among them: -1 where it has none.

    Examples:
        >>> numbered(pl.Series(["a", "b", None, "b", ""]))
        (['b', 'a'], array([ 1,  0, -1,  0, -1]))
    """
    known = pl.DataFrame({"label": labels.replace("", None)})
    table = known.drop_nulls().group_by("label").len().sort(["len", "label"], descending=[True, False])
    places = table.select("label", place=pl.int_range(pl.len(), dtype=pl.Int64))
    place = known.join(places, on="label", how="left", maintain_order="left")["place"].fill_null(-1)
    return table["label"].to_list(), place.to_numpy()


def item_titles(dataset: Dataset) -> list[str]:
    """Returns what to call each item: its title, else its id."""
    if "title" not in dataset.items.columns:
        return dataset.item_ids.to_list()
    return dataset.items.select(pl.coalesce(pl.col("title").cast(pl.String), ITEM_ID))["title"].to_list()
