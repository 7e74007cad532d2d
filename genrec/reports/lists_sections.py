"""Sections about the lists of a run: what accuracy does not show, exposure, slices of the targets, and single users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl

from genrec.core.dataset import Dataset
from genrec.core.item_labels import item_titles
from genrec.reports.charts import Dots, dot_chart, grouped_bars
from genrec.reports.page import Markup, facts_list, join, scrolling, section, tag
from genrec.reports.standings import metric_label
from genrec.reports.verdict import chosen_metrics
from genrec.types import ITEM_ID, RANK, SPLIT, USER_ID, Split

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
    measured = [figure for figure in (*MEANINGS, *others) if f"{short}/{figure}@{k}" in metrics["model"]]
    if not measured:
        return None
    names = {figure: metrics["labels"][figure] if figure in others else figure.replace("_", " ") for figure in measured}
    rows = [*((baseline, "baseline", row) for baseline, row in metrics["baselines"].items()), (name, "model", metrics["model"])]
    head = tag("thead", tag("tr", tag("td"), *(tag("th", names[figure], scope="col") for figure in measured)))
    body = [
        tag(
            "tr", tag("th", label, scope="row"), *_cells([row.get(f"{short}/{figure}@{k}") for figure in measured]), class_=kind
        )
        for label, kind, row in rows
    ]
    left_out = metrics.get("left_out", {})
    return section(
        "Beyond accuracy",
        scrolling("Beyond accuracy", tag("table", head, tag("tbody", *body))),
        tag(
            "details",
            tag("summary", "What they mean"),
            facts_list({names[figure]: MEANINGS[figure] for figure in measured if figure in MEANINGS}),
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


SHORT = 6  # parts that are shown without asking
FEW = 30  # targets below which a figure says little


def slices_section(metrics: Mapping[str, Any]) -> Markup | None:
    """A chart and a table for every way of slicing; None where nothing was sliced.

    Args:
        metrics: the content of metrics.json.
    """
    short = "test" if "test" in metrics["users"] else "val"
    entries = metrics.get("slices", {}).get(short)
    if not entries:
        return None
    k, best = metrics["rules"]["headline_k"], metrics["best_baseline"].get(short, {}).get("name")
    rings = f" Rings: {best}, the best baseline over all targets, and its NDCG@{k} in the last column." if best else ""
    return section(
        "For whom, and for which items",
        *(_division(name, list(group), k, best) for name, group in groupby(entries, key=lambda entry: entry["slice"])),
        note=f"Parts of the {'test' if short == 'test' else 'validation'} targets, each measured by itself. Dots: the model's "
        f"NDCG@{k}, with its 95 % interval over users.{rings} With fewer than {FEW} targets a figure says little.",
    )


def _division(name: str, entries: Sequence[Mapping[str, Any]], k: int, best: str | None) -> Markup:
    metric = f"ndcg@{k}"
    rows = [
        Dots(
            f"{entry['name']}, {entry['share']:.0%} of targets",
            "model",
            entry["rows"]["model"][metric],
            tuple(entry["intervals"]["model"][metric]),
            (entry["rows"][best][metric],) if best else (),
        )
        for entry in entries
    ]
    title = f"By {name}"
    return tag(
        "details",
        tag("summary", f"{title} ({len(entries)})"),
        tag("div", dot_chart(metric_label(metric), rows), _table(title, entries, k, best), class_="charts"),
        **({"open": "open"} if len(entries) <= SHORT else {}),
    )


def _table(title: str, entries: Sequence[Mapping[str, Any]], k: int, best: str | None) -> Markup:
    columns = [f"recall@{k}", f"ndcg@{k}"]
    names = ["Targets", *map(metric_label, columns)] + ([best] if best else [])

    def cell(entry: Mapping[str, Any], name: str, column: str) -> Markup:
        low, high = entry["intervals"][name][column]
        return tag("td", f"{entry['rows'][name][column]:.4f}", tag("small", f"{low:.4f}–{high:.4f}"))

    rows = [
        tag(
            "tr",
            tag("th", entry["name"], scope="row"),
            tag("td", f"{entry['targets']:,}", tag("small", "few" if entry["targets"] < FEW else f"{entry['share']:.1%}")),
            *(cell(entry, "model", column) for column in columns),
            cell(entry, best, columns[-1]) if best else None,
        )
        for entry in entries
    ]
    head = tag("thead", tag("tr", tag("td"), *(tag("th", name, scope="col") for name in names)))
    return scrolling(title, tag("table", head, tag("tbody", *rows)))


SAMPLED_USERS = 20  # half of them drawn among the users with a hit, so that there is one to look at
SHOWN_ITEMS = 10
SHOWN_HISTORY = 5


def users_sections(dataset: Dataset, split: Split, table: pl.DataFrame, per_user: pl.DataFrame, k: int) -> Markup:
    """A card per sampled user, the same users in every report on the same users and hits.

    Args:
        dataset: for histories, targets and titles.
        split: of the targets.
        table: the model's recommendations.
        per_user: split, user_id and metric columns of the model, ``recall@k`` among them.
        k: list length that decides who has a hit.
    """
    scores = per_user.filter(pl.col(SPLIT) == split)
    rng = np.random.default_rng(0)
    anyone = rng.permutation(scores[USER_ID].to_numpy())[: SAMPLED_USERS // 2]
    lucky = scores.filter((pl.col(f"recall@{k}") > 0) & ~pl.col(USER_ID).is_in(anyone.tolist()))[USER_ID].to_numpy()
    lucky = rng.permutation(lucky)[: SAMPLED_USERS // 2]
    lists = table.filter((pl.col(SPLIT) == split) & pl.col(USER_ID).is_in([*anyone, *lucky])).sort(USER_ID, RANK)
    rows = {str(key[0]): frame for key, frame in lists.group_by(USER_ID)}
    row_of = {user: row for row, user in enumerate(dataset.user_ids)} if len(rows) else {}
    titles = item_titles(dataset)
    title_of = dict(zip(dataset.item_ids, titles, strict=True))

    def card(user: str) -> Markup:
        row = row_of[user]
        whole = dataset.histories(split)[row]
        history = [titles[i] for i in whole[-SHOWN_HISTORY:]]
        targets = {dataset.item_ids[int(i)]: titles[int(i)] for i in dataset.targets(split)[row]}
        listed = rows[user] if user in rows else lists.clear()
        hits = [rank for item, rank in zip(listed[ITEM_ID], listed[RANK], strict=True) if item in targets]
        pill = tag("span", f"hit at rank {hits[0]}", class_="pill good") if hits else tag("span", "no hit", class_="pill")
        shown = listed.filter(pl.col(RANK) <= SHOWN_ITEMS)[ITEM_ID]
        return tag(
            "article",
            tag("h3", f"User {user} ", pill),
            tag("h4", f"History, the last {len(history)} of {len(whole)}"),
            _items(history, start=len(whole) - len(history) + 1),
            tag("h4", "What came next"),
            tag("p", "; ".join(targets.values()), class_="next"),
            tag("h4", "Recommended"),
            _items([title_of.get(item, item) for item in shown], hits=[item in targets for item in shown]),
            class_="user",
        )

    groups = [("drawn at random", anyone), (f"drawn among those with a hit in the first {k}", lucky)]
    return join(
        *(
            section(f"{len(users)} {split} users, {how}", tag("div", *map(card, users), class_="users"))
            for how, users in groups
            if len(users)
        )
    )


def _items(titles: list[str], *, start: int = 1, hits: Sequence[bool] = ()) -> Markup:
    marked = {i for i, hit in enumerate(hits) if hit}
    entries = (
        tag("li", tag("span", "✓ hit: " if i in marked else "", title, class_="item"), class_="hit" if i in marked else "miss")
        for i, title in enumerate(titles)
    )
    return tag("ol", *entries, start=start)
