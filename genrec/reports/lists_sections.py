"""What accuracy does not say about the lists: how much of the catalogue, how new, how varied, how like the user's taste.

Whom a model shows: the share of recommendations that popular and rare items get, beside what users did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from genrec.core.dataset import Dataset
from genrec.reports.charts import grouped_bars
from genrec.reports.page import Markup, facts_list, scrolling, section, tag
from genrec.reports.verdict import chosen_metrics
from genrec.types import ITEM_ID, RANK, SPLIT, Split

MEANINGS = {
    "coverage": "share of the catalogue that stands in somebody's list",
    "gini": "inequality of exposure: 0 every item equally often, 1 one item takes all",
    "novelty": "mean surprise of an item in bits: minus log2 of its share of training events",
    "popularity_lift": "how much more popular the recommended items are than those of the user's history",
    "diversity": "mean distance of two items of a list: 1 minus the cosine of their vectors",
    "prefix_diversity": "share of the semantic ID that two items of a list do not have in common",
    "serendipity": "hits that the popularity baseline would not have listed",
    "miscalibration": "divergence of the list's categories from the history's: 0 is the same mix",
    "repeat_rate": "share of the list that the user has had before",
}


def beyond_section(name: str, metrics: Mapping[str, Any], short: str) -> Markup | None:
    """A table of the model and its baselines; None where nothing of it was measured.

    Args:
        name: of the run.
        metrics: the content of metrics.json.
        short: split as in metric keys.
    """
    k = metrics["rules"]["headline_k"]
    others = [figure for figure in chosen_metrics(metrics, at_every_k=False) if figure not in MEANINGS]
    known = [figure for figure in (*MEANINGS, *others) if f"{short}/{figure}@{k}" in metrics["model"]]
    if not known:
        return None
    names = {figure: metrics["labels"][figure] if figure in others else figure.replace("_", " ") for figure in known}
    rows = [*((baseline, "baseline", row) for baseline, row in metrics["baselines"].items()), (name, "model", metrics["model"])]
    head = tag("thead", tag("tr", tag("td"), *(tag("th", names[figure], scope="col") for figure in known)))
    body = [
        tag("tr", tag("th", label, scope="row"), *_cells([row.get(f"{short}/{figure}@{k}") for figure in known]), class_=kind)
        for label, kind, row in rows
    ]
    left_out = metrics.get("left_out", {})
    return section(
        "Beyond accuracy",
        scrolling("Beyond accuracy", tag("table", head, tag("tbody", *body))),
        tag(
            "details",
            tag("summary", "What they mean"),
            facts_list({names[figure]: MEANINGS[figure] for figure in known if figure in MEANINGS}),
        ),
        *(tag("p", f"No {figure.replace('_', ' ')}: {why}.", class_="note") for figure, why in left_out.items()),
        note=f"Of the first {k} items of every list. High or low is not better by itself: read them beside the baselines.",
    )


def _cells(values: Sequence[float | None]) -> list[Markup]:
    return [tag("td", "" if value is None else f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}") for value in values]


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
    series = {"of training events": "baseline", f"of {split} targets": "bound", f"of the first {k} recommended": "model"}
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
