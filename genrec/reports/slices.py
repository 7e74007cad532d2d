"""The slices of an evaluation: for whom, and for which items, a model is better or worse than the baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from genrec.reports.charts import Dots, dot_chart
from genrec.reports.compared_figures import metric_label
from genrec.reports.page import Markup, scrolling, section, tag

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
