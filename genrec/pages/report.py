"""The report of one evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from genrec.dataset import Dataset
from genrec.pages.charts import Bars, Kind, bar_chart, curve_chart
from genrec.pages.page import Markup, facts_list, join, render, section, tag
from genrec.pages.verdict import metric_label, verdict
from genrec.types import ITEM_ID, RANK, SPLIT, USER_ID, Split

SAMPLED_USERS = 20  # half of them drawn among the users with a hit, so that there is one to look at
SHOWN_ITEMS = 10


def report(
    name: str,
    metrics: Mapping[str, Any],
    *,
    dataset: Dataset,
    table: pl.DataFrame,
    per_user: pl.DataFrame,
    lineage: Mapping[str, Mapping[str, Any]],
) -> str:
    """A self-contained page.

    Args:
        name: of the run.
        metrics: the content of metrics.json.
        dataset: for histories, targets and titles.
        table: the model's recommendations.
        per_user: split, user_id and metric columns of the model.
        lineage: artifact kind -> its fingerprint, facts and settings.
    """
    split: Split = "test" if "test" in metrics["users"] else "validation"
    short = "test" if split == "test" else "val"
    k = metrics["rules"]["headline_k"]
    warnings = [tag("p", f"Note: {warning}.", class_="warning") for warning in metrics["warnings"]]
    body = join(
        _tiles(metrics, short, k),
        *warnings,
        _figures(name, metrics, k),
        section(
            "Model, floors and bounds",
            tag("div", *_charts(name, metrics, short, k), class_="charts"),
            note="Solid bars: test, with its 95 % interval. Pale bars: validation. Floors know the training part only.",
        ),
        _users(dataset, split, table, per_user, k),
        _rules(metrics, lineage),
    )
    return render(f"Evaluation of {name}", lead=verdict(name, metrics), body=body)


def _rows(name: str, metrics: Mapping[str, Any]) -> list[tuple[str, Kind, Mapping[str, float], Mapping[str, Any]]]:
    rows: list[tuple[str, Kind, Mapping[str, float], Mapping[str, Any]]] = []
    rows += [(floor, "floor", row, metrics["floor_intervals"][floor]) for floor, row in metrics["floors"].items()]
    rows += [(name, "model", metrics["model"], metrics["intervals"])]
    rows += [(f"{bound} bound", "bound", row, {}) for bound, row in metrics["bounds"].items()]
    return rows


def _tiles(metrics: Mapping[str, Any], short: str, k: int) -> Markup:
    model, best = metrics["model"], metrics["best_floor"].get(short)
    split = "test" if short == "test" else "validation"
    tiles = [
        (f"{model[f'{short}/{metric}@{k}']:.4f}", f"{split} {metric_label(f'{metric}@{k}')}", "")
        for metric in ("recall", "ndcg")
    ]
    if best and (floor := metrics["floors"][best["name"]][best["metric"]]):
        style = "good" if best["interval"][0] > 0 else "warn" if best["interval"][1] < 0 else ""
        tiles.append((f"{best['lead'] / floor:+.0%}", f"NDCG@{k} against {best['name']}, the best floor", style))
    if bayes := metrics["bounds"].get("bayes"):
        tiles.append((f"{model[f'{short}/ndcg@{k}'] / bayes[f'{short}/ndcg@{k}']:.0%}", f"of the Bayes bound of NDCG@{k}", ""))
    else:
        tiles.append((f"{metrics['users'][split]:,}", f"{split} users, {metrics['dataset']['num_items']:,} items", ""))
    return tag(
        "ul",
        *(
            tag("li", tag("span", value, class_="value"), tag("span", label, class_="label"), class_=f"tile {style}".strip())
            for value, label, style in tiles
        ),
        class_="tiles",
    )


def _figures(name: str, metrics: Mapping[str, Any], headline: int) -> Markup:
    ks = metrics["rules"]["ks"]
    few = [k for k in (5, headline) if k in ks]
    columns = [f"{metric}@{k}" for k in dict.fromkeys(few) for metric in ("recall", "ndcg")]
    every = [f"{metric}@{k}" for metric in ("recall", "ndcg", "mrr") for k in ks]
    seen = (
        "Items of the history are excluded" if metrics["rules"]["exclude_seen"] else "Items of the history may be recommended"
    )
    users = " and ".join(f"{count:,} {split} users" for split, count in metrics["users"].items())
    return section(
        "Figures",
        _table(name, metrics, columns, intervals=True),
        tag("details", tag("summary", f"Every metric at k = {', '.join(map(str, ks))}"), _table(name, metrics, every)),
        note=f"Full ranking over {metrics['dataset']['num_items']:,} items, {users}. {seen}, for every row alike. "
        "Small figures: 95 % bootstrap intervals over users.",
    )


def _table(name: str, metrics: Mapping[str, Any], columns: list[str], *, intervals: bool = False) -> Markup:
    words = {short: split for short, split in (("test", "test"), ("val", "validation")) if split in metrics["users"]}
    shorts = list(words)
    keys = [f"{short}/{column}" for short in shorts for column in columns]
    apart = [{"class_": "apart"} if key.endswith(f"/{columns[0]}") else {} for key in keys]  # a line between the splits

    def cell(key: str, row: Mapping[str, float], spread: Mapping[str, Any]) -> Markup:
        told = intervals and key.startswith(shorts[0]) and key in spread
        return join(f"{row[key]:.4f}", tag("small", "{:.4f}–{:.4f}".format(*spread[key])) if told else None)

    splits = [tag("th", words[short], colspan=len(columns), scope="colgroup", class_="apart") for short in shorts]
    names = [tag("th", metric_label(key), scope="col", **line) for key, line in zip(keys, apart, strict=True)]
    rows = [
        tag(
            "tr",
            tag("th", label, scope="row"),
            *(tag("td", cell(key, row, spread), **line) for key, line in zip(keys, apart, strict=True)),
            class_=kind,
        )
        for label, kind, row, spread in _rows(name, metrics)
    ]
    head = tag("thead", tag("tr", tag("td"), *splits), tag("tr", tag("td"), *names))
    return tag(
        "div", tag("table", head, tag("tbody", *rows)), class_="scroll", tabindex="0", role="region", aria_label="Figures"
    )


def _charts(name: str, metrics: Mapping[str, Any], short: str, k: int) -> list[Markup]:
    rows = _rows(name, metrics)
    charts = [
        bar_chart(
            metric_label(f"{metric}@{k}"),
            [
                Bars(label, kind, row.get(f"test/{metric}@{k}"), row.get(f"val/{metric}@{k}"), spread.get(f"test/{metric}@{k}"))
                for label, kind, row, spread in rows
            ],
        )
        for metric in ("ndcg", "recall")
    ]
    if len(ks := metrics["rules"]["ks"]) > 1:
        curves = {label: (kind, {n: row[f"{short}/recall@{n}"] for n in ks}) for label, kind, row, _ in rows}
        charts.append(curve_chart(f"Recall at k, {'test' if short == 'test' else 'validation'}", curves))
    return charts


# --- sample users ----------------------------------------------------------------------------------------------------------


def _users(dataset: Dataset, split: Split, table: pl.DataFrame, per_user: pl.DataFrame, k: int) -> Markup:
    scores = per_user.filter(pl.col(SPLIT) == split)
    rng = np.random.default_rng(0)
    anyone = rng.permutation(scores[USER_ID].to_numpy())[: SAMPLED_USERS // 2]
    lucky = scores.filter((pl.col(f"recall@{k}") > 0) & ~pl.col(USER_ID).is_in(anyone.tolist()))[USER_ID].to_numpy()
    lucky = rng.permutation(lucky)[: SAMPLED_USERS // 2]
    lists = table.filter((pl.col(SPLIT) == split) & pl.col(USER_ID).is_in([*anyone, *lucky])).sort(USER_ID, RANK)
    rows = {str(key[0]): frame for key, frame in lists.group_by(USER_ID)}
    row_of = {user: row for row, user in enumerate(dataset.user_ids)} if len(rows) else {}
    titles = _titles(dataset)

    def card(user: str) -> Markup:
        row = row_of[user]
        history = [titles[i] for i in dataset.histories(split)[row]][-5:]
        targets = {dataset.item_ids[int(i)]: titles[int(i)] for i in dataset.targets(split)[row]}
        listed = rows[user] if user in rows else lists.clear()
        hits = [rank for item, rank in zip(listed[ITEM_ID], listed[RANK], strict=True) if item in targets]
        pill = tag("span", f"hit at rank {hits[0]}", class_="pill good") if hits else tag("span", "no hit", class_="pill")
        shown = listed.filter(pl.col(RANK) <= SHOWN_ITEMS)[ITEM_ID]
        return tag(
            "article",
            tag("h3", f"User {user} ", pill),
            tag("h4", f"History, the last {len(history)} of {len(dataset.histories(split)[row])}"),
            _items(history, start=len(dataset.histories(split)[row]) - len(history) + 1),
            tag("h4", "What came next"),
            tag("p", "; ".join(targets.values()), class_="next"),
            tag("h4", "Recommended"),
            _items([title_of[item] for item in shown], hits=[item in targets for item in shown]),
            class_="user",
        )

    title_of = dict(zip(dataset.item_ids, titles, strict=True))
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


def _titles(dataset: Dataset) -> list[str]:
    if "title" not in dataset.items.columns:
        return dataset.item_ids.to_list()
    return dataset.items.select(pl.coalesce(pl.col("title").cast(pl.String), ITEM_ID))["title"].to_list()


# --- where it comes from ---------------------------------------------------------------------------------------------------


def _rules(metrics: Mapping[str, Any], lineage: Mapping[str, Mapping[str, Any]]) -> Markup:
    rules, bootstrap = metrics["rules"], metrics["rules"]["bootstrap"]
    counted: dict[str, object] = {
        "ranking": f"full, over {metrics['dataset']['num_items']:,} items; lists of {rules['list_length']}",
        "a hit": "an item of the user's held-out part; equal scores count by expected rank",
        "users": "those with something held out; a missing list counts 0",
        "seen items": "excluded, for every row" if rules["exclude_seen"] else "may be recommended, in every row",
        "split": _told(rules["split"]),
        "order of events": _told(rules["order"]),
        "held out": "; ".join(f"{split}: {_told(counts)}" for split, counts in rules["targets"].items()),
        "intervals": f"{bootstrap['level']:.0%}, {bootstrap['draws']:,} bootstrap draws over users, seed {bootstrap['seed']}",
    }
    inputs = (tag("details", tag("summary", kind), facts_list(_flat(facts))) for kind, facts in lineage.items())
    return section("How it was counted, and from what", facts_list(counted), *inputs)


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested facts as one level; empty ones are left out."""
    flat: dict[str, object] = {}
    for key, value in facts.items():
        place = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{place} · ")
        elif isinstance(value, list):
            if value:
                flat[place] = ", ".join(_told(entry) for entry in value)
        elif value is not None:
            flat[place] = _told(value)
    return flat


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key.replace('_', ' ')} {_told(entry)}" for key, entry in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)
