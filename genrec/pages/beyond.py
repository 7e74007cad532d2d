"""What accuracy does not say about the lists: how much of the catalogue, how new, how varied, how like the user's taste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from genrec.pages.page import Markup, facts_list, scrolling, section, tag
from genrec.pages.verdict import chosen_metrics

MEANINGS = {
    "coverage": "share of the catalogue that stands in somebody's list",
    "gini": "inequality of exposure: 0 every item equally often, 1 one item takes all",
    "novelty": "mean surprise of an item in bits: minus log2 of its share of training events",
    "popularity_lift": "how much more popular the recommended items are than those of the user's history",
    "diversity": "mean distance of two items of a list: 1 minus the cosine of their vectors",
    "prefix_diversity": "share of the semantic ID that two items of a list do not have in common",
    "serendipity": "hits that the popularity floor would not have listed",
    "miscalibration": "divergence of the list's categories from the history's: 0 is the same mix",
    "repeat_rate": "share of the list that the user has had before",
}


def beyond_section(name: str, metrics: Mapping[str, Any], short: str) -> Markup | None:
    """A table of the model and its floors; None where nothing of it was measured.

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
    rows = [*((floor, "floor", row) for floor, row in metrics["floors"].items()), (name, "model", metrics["model"])]
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
