"""Whom a model shows: the share of recommendations that popular and rare items get, beside what users did."""

from __future__ import annotations

import numpy as np
import polars as pl

from genrec.dataset import Dataset
from genrec.pages.charts import grouped_bars
from genrec.pages.page import Markup, section
from genrec.types import ITEM_ID, RANK, SPLIT, Split

BANDS = (("the most popular 1 % of items", 0.01), ("the next 4 %", 0.05), ("the next 15 %", 0.2), ("the next 30 %", 0.5))
REST, COLD = "the rest", "never in training"


def exposure_section(dataset: Dataset, split: Split, table: pl.DataFrame, k: int) -> Markup:
    """Popularity against exposure.

    Args:
        dataset: for training counts and targets.
        split: of the lists.
        table: the model's recommendations.
        k: list length.
    """
    listed = table.filter((pl.col(SPLIT) == split) & (pl.col(RANK) <= k))[ITEM_ID]
    rows = pl.Series(dataset.item_ids).to_frame("item").with_row_index("row")
    shown = listed.to_frame("item").join(rows, on="item")["row"].to_numpy()  # items outside the catalogue are nobody's exposure
    bands = popularity_bands(dataset.train_counts)
    names = [*(name for name, _ in BANDS), REST, COLD]
    columns = [
        _shares(bands, np.asarray(items), len(names))
        for items in (dataset.train.item_idx, dataset.targets(split).item_idx, shown)
    ]
    figures = {
        f"{name} ({int((bands == band).sum()):,} items)": [float(column[band]) for column in columns]
        for band, name in enumerate(names)
        if (bands == band).any()
    }
    series = {"of training events": "floor", f"of {split} targets": "bound", f"of the first {k} recommended": "model"}
    return section(
        "Popularity against exposure",
        grouped_bars("Share of events, targets and recommendations", figures, series),  # type: ignore[arg-type]
        note="Items by their number of training events. A model whose last bar is much longer than the middle one for the most "
        "popular items shows them more often than users want them.",
    )


def popularity_bands(train_counts: np.ndarray) -> np.ndarray:
    """Band of each item: its place in ``BANDS`` by rank of training count, then ``REST``, then ``COLD`` (count 0).

    Examples:
        >>> popularity_bands(np.array([9, 0, 5, 1, 1])).tolist()
        [0, 5, 3, 3, 4]
    """
    order = np.argsort(-train_counts, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    band = np.searchsorted([share * len(order) for _, share in BANDS], rank, side="right")
    return np.where(train_counts == 0, len(BANDS) + 1, band)


def _shares(bands: np.ndarray, items: np.ndarray, num_bands: int) -> np.ndarray:
    return np.bincount(bands[items], minlength=num_bands) / max(len(items), 1)
