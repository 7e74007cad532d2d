"""The categories and brands of items as labels: what text columns of the catalogue list, and the same as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genrec.core.dataset import Dataset
from genrec.errors import ConfigError, did_you_mean
from genrec.types import ITEM_ID, ITEM_IDX

if TYPE_CHECKING:
    from scipy import sparse

BRAND = "brand"


def item_labels(items: pl.DataFrame) -> dict[str, pl.Series]:
    """``category`` (the last one that an item lists) and ``brand`` of each item, as far as the catalogue has such columns.

    Examples:
        >>> item_labels(pl.DataFrame({"categories": ["Shoes > Boots", None]}))["category"].to_list()
        ['Boots', None]
    """
    labels = {}
    if (column := category_column(items, AUTO)) is not None:
        last = category_parts(items[column]).sort(ITEM_IDX, PLACE).group_by(ITEM_IDX).agg(pl.col(PART).last())
        rows = pl.DataFrame({ITEM_IDX: pl.int_range(items.height, eager=True)})
        last = last.cast({ITEM_IDX: pl.Int64})
        labels["category"] = rows.join(last, on=ITEM_IDX, how="left", maintain_order="left")[PART]
    if BRAND in items.columns:
        labels[BRAND] = items[BRAND].cast(pl.String)
    return labels


def number_labels(labels: pl.Series) -> tuple[list[str], np.ndarray]:
    """Returns the distinct labels, the most frequent first, and the number of each row's label: -1 where it has none.

    Examples:
        >>> number_labels(pl.Series(["a", "b", None, "b", ""]))
        (['b', 'a'], array([ 1,  0, -1,  0, -1]))
    """
    named = pl.DataFrame({"label": labels.replace("", None)})
    table = named.drop_nulls().group_by("label").len().sort(["len", "label"], descending=[True, False])
    places = table.select("label", place=pl.int_range(pl.len(), dtype=pl.Int64))
    number = named.join(places, on="label", how="left", maintain_order="left")["place"].fill_null(-1)
    return table["label"].to_list(), number.to_numpy()


def item_titles(dataset: Dataset) -> list[str]:
    """Returns what to call each item: its title, else its id."""
    if "title" not in dataset.items.columns:
        return dataset.item_ids.to_list()
    return dataset.items.select(pl.coalesce(pl.col("title").cast(pl.String), ITEM_ID))["title"].to_list()


AUTO = "auto"
USUAL = ("category", "categories")  # tried in this order by AUTO
SEPARATORS = ">|,;"
PART, PLACE = "part", "place"


def category_column(items: pl.DataFrame, name: str | None) -> str | None:
    """The column to take categories from; None when there is none.

    Args:
        items: the catalogue.
        name: a column, "auto" (``category`` or ``categories``, whichever is there), or None.

    Raises:
        ConfigError: when a column that was asked for is not there.
    """
    if name == AUTO:
        return next((column for column in USUAL if column in items.columns), None)
    if name is not None and name not in items.columns:
        fix = did_you_mean(name, items.columns)
        raise ConfigError("evaluate.category", expected="a column of the items", got=name, fix=fix)
    return name


def category_parts(column: pl.Series) -> pl.DataFrame:
    """The labels of each item: ``item_idx`` (the row), ``place`` from 0 and ``part``; items without one have no row.

    Text is split at ``>``, ``|``, ``,`` and ``;``, so that paths, lists of genres and single labels are read alike; a label
    counts once an item, at its first position. Columns of lists are taken as they are.

    Examples:
        >>> category_parts(pl.Series(["Shoes > Boots", None, "Shoes|Sale"])).rows()
        [(0, 0, 'Shoes'), (0, 1, 'Boots'), (2, 0, 'Shoes'), (2, 1, 'Sale')]
    """
    if isinstance(column.dtype, pl.List):
        parts = column.cast(pl.List(pl.String))
    else:
        parts = column.cast(pl.String).str.replace_all(f"[{SEPARATORS}]", ">").str.split(">")
    rows = pl.DataFrame({PART: parts}).with_row_index(ITEM_IDX).explode(PART)
    rows = rows.with_columns(pl.col(PART).str.strip_chars()).filter(pl.col(PART) != "").unique(maintain_order=True)
    return rows.select(ITEM_IDX, pl.int_range(pl.len()).over(ITEM_IDX).alias(PLACE), PART)


def category_shares(column: pl.Series) -> sparse.csr_array:
    """float64 [items, categories]: an item's labels in equal shares, rows that add up to 1 (or 0: no label).

    A label of all labelled items, such as the root of all paths, distinguishes nothing and is left out.
    """
    from scipy import sparse  # a third of the time that opening a bundle takes, which reads labels only

    parts = category_parts(column)
    carried = parts.group_by(PART).len()
    telling = carried.filter(pl.col("len") < parts[ITEM_IDX].n_unique())[PART].sort()
    numbers = pl.DataFrame({PART: telling}).with_row_index("number")
    cells = parts.join(numbers, on=PART)
    places = (cells[ITEM_IDX].to_numpy(), cells["number"].to_numpy())
    labels = sparse.csr_array((np.ones(cells.height), places), shape=(len(column), len(telling)))
    return (sparse.diags_array(1.0 / np.maximum(labels.sum(axis=1), 1.0)) @ labels).tocsr()
