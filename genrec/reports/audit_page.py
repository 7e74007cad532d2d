"""The page of an audit of data, and the run of the audit that writes it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genrec.audits.audit import audit_dataset
from genrec.engine.config import Config
from genrec.engine.pipeline import make_artifact, run_of
from genrec.engine.runs import AUDIT
from genrec.reports.charts import Bars, Kind, bar_chart, grouped_bars
from genrec.reports.page import Markup, facts_list, join, render, scrolling, section, tag

MARKS = {"serious": "✕", "warning": "!", "fine": "✓", "not tested": "–"}  # worst first; text, not colour alone
STYLES = {"serious": "bad", "warning": "warn", "fine": "good", "not tested": "none"}
NAMES = {"graph_1": "graph TGH-1", "graph_2": "graph TGH-2", "item_knn": "item-kNN", "transitions_log": "transitions, log"}


def audit_page(audit: Mapping[str, Any]) -> str:
    """A self-contained page.

    Args:
        audit: the content of audit.json.
    """
    order, figures = list(MARKS), audit["figures"]
    findings = sorted(audit["findings"], key=lambda finding: order.index(finding["grade"]))
    tested = [finding for finding in findings if finding["grade"] != "not tested"]
    body = join(
        _tiles(findings, figures),
        _worth(findings),
        _overview(findings),
        *(_card(finding, figures) for finding in tested),
        _untested(findings[len(tested) :]),
        _baselines(figures),
        _provenance(audit),
    )
    return render(f"Audit of {audit['name']}", lead=audit["verdict"], body=body)


def _tiles(findings: list[Mapping[str, str]], figures: Mapping[str, Any]) -> Markup:
    by_key = {finding["key"]: finding for finding in findings}
    grades = [finding["grade"] for finding in findings]
    size = figures["size"]
    tiles = [
        (str(grades.count("serious")), "serious", "bad" if "serious" in grades else "good"),
        (str(grades.count("warning")), "warnings", "warn" if "warning" in grades else "good"),
        *((by_key[key]["figure"], by_key[key]["label"], "") for key in ("baseline", "resolution")),
        (f"{size['users']:,}", f"users, {size['items']:,} items, {size['events']:,} events", ""),
    ]
    return tag(
        "ul",
        *(
            tag("li", tag("span", value, class_="value"), tag("span", label, class_="label"), class_=f"tile {style}".strip())
            for value, label, style in tiles
        ),
        class_="tiles",
    )


def _worth(findings: list[Mapping[str, str]]) -> Markup:
    def column(title: str, key: str, empty: str) -> Markup:
        lines = [finding[key] for finding in findings if finding[key]] or [empty]
        return tag("div", tag("h3", title), tag("ul", *(tag("li", line) for line in lines)))

    return section(
        "What a score on this data is worth",
        tag(
            "div",
            column("It can show", "shows", "Nothing beyond doubt."),
            column("It cannot show", "hides", "No limit was found."),
            class_="columns",
        ),
    )


def _overview(findings: list[Mapping[str, str]]) -> Markup:
    rows = (
        tag(
            "li", _pill(finding["grade"]), tag("a", finding["title"], href=f"#{finding['key']}"), tag("span", finding["figure"])
        )
        for finding in findings
    )
    return section("All checks, the worst first", tag("ol", *rows, class_="checks"))


def _pill(grade: str) -> Markup:
    return tag("span", f"{MARKS[grade]} {grade}", class_=f"pill {STYLES[grade]}")


def _card(finding: Mapping[str, str], figures: Mapping[str, Any]) -> Markup:
    number = tag("p", tag("b", finding["figure"]), " ", tag("span", finding["label"]), class_="figure")
    words = [
        tag("p", finding["observed"]),
        tag("p", tag("b", "What it means. "), finding["means"]) if finding["means"] else None,
        tag("p", tag("b", "What to do. "), _code(finding["advice"])) if finding["advice"] else None,
    ]
    return tag(
        "section",
        tag("h2", finding["title"], " ", _pill(finding["grade"])),
        tag("div", tag("div", number, *words), *_charts(finding["key"], figures), class_="columns"),
        id=finding["key"],
        class_="check",
    )


def _untested(findings: list[Mapping[str, str]]) -> Markup | None:
    if not findings:
        return None
    rows = (
        tag(
            "li",
            tag("b", finding["title"], ": "),
            " ".join(finding[key] for key in ("observed", "means", "advice") if finding[key]),
            id=finding["key"],
        )
        for finding in findings
    )
    return section("Not tested", tag("ul", *rows, class_="untested"))


def _code(advice: str) -> Markup:
    """Words in backquotes, and settings (``order.ties=random``), as code."""
    parts = re.split(r"(`[^`]+`|[\w.]+=\w+)", advice)
    return join(*(tag("code", part.strip("`")) if index % 2 else part for index, part in enumerate(parts)))


def _charts(key: str, figures: Mapping[str, Any]) -> list[Markup]:
    if key == "baseline":
        return [_baseline_chart(figures["baselines"])]
    if key == "ids":
        return [_rise_chart(figures["ascending"])]
    if key == "direction":
        rows = {way: [figures["direction"][way]["test/ndcg@10"]["mean"]] for way in ("forward", "backward")}
        return [grouped_bars("Test NDCG@10 of transition counts, fitted", rows, {"NDCG@10": "baseline"}, form=".4f")]
    if key == "ties" and figures["tie_orders"]:
        baselines: dict[str, Kind] = {"transitions": "model", "popularity": "baseline"}
        scores = {
            f"ties {name.replace('_', ' ')}": [row[baseline]["test/ndcg@10"]["mean"] for baseline in baselines]
            for name, row in figures["tie_orders"].items()
        }
        return [
            grouped_bars(
                "Test NDCG@10 under other tie rules",
                scores,
                {_name(name): kind for name, kind in baselines.items()},
                form=".4f",
            )
        ]
    if key == "numbering":
        numbering = figures["numbering"]
        rows = {
            f"{words}, {way}": [numbering[name][f"{way}_numbers"]]
            for name, words in (("item_id", "item ids"), ("row", "rows"))
            for way in ("next", "previous")
        }
        title = f"Test targets among {numbering['reach']} numbers beside the last item"
        return [grouped_bars(title, rows | {"chance": [numbering["chance"]]}, {"share": "baseline"})]
    if key == "branching":
        graph = figures["branching"]
        rows = {
            f"within {hop} hop{'s' * (hop != '1')}": [graph["within"][hop], graph["chance"][hop]] for hop in graph["within"]
        }
        return [grouped_bars("How far the targets are from the last item", rows, {"targets": "model", "any item": "baseline"})]
    if key == "smoothness":
        near = figures["smoothness"]
        rows = {"targets": [near["share"]], "chance": [near["chance"]]}
        return [grouped_bars(f"Among the {near['nearest']} nearest by content", rows, {"share": "baseline"})]
    if key == "history":
        kinds: dict[str, Kind] = {"transitions_log": "model", "item_knn": "baseline"}
        depths = figures["history"]["item_knn"]["depths"]
        rows = {
            "all of the history" if depth == "all" else f"the last {depth}": [
                figures["history"][baseline]["depths"][depth]["test/ndcg@10"]["mean"] for baseline in kinds
            ]
            for depth in depths
        }
        return [grouped_bars("Test NDCG@10 of baselines that see", rows, {_name(f): kinds[f] for f in kinds}, form=".4f")]
    if key == "twins":
        return _examples(figures["near_duplicates"]["examples"])
    return []


def _baseline_chart(baselines: Mapping[str, Any]) -> Markup:
    cells = {name: (row["test/ndcg@10"], row.get("val/ndcg@10")) for name, row in baselines["seen_excluded"].items()}
    bars = [
        Bars(
            _name(name),
            "model" if name == baselines["best"] else "baseline",
            test["mean"],
            validation["mean"] if validation else None,
            (test["low"], test["high"]),
        )
        for name, (test, validation) in cells.items()
    ]
    return bar_chart("NDCG@10, seen items excluded: test, and pale validation", bars)


def _rise_chart(rising: Mapping[str, Any]) -> Markup:
    names = {
        "all": "consecutive pairs",
        "last_pair": "last pair of each user",
        "settled": "without first appearances",
        "tied": "of them with equal times",
        "apart": "of them with different times",
    }
    rows = {words: [rising[key]["share"]] for key, words in names.items() if key in rising}
    rows |= {f"{gap} events apart": [cell["share"]] for gap, cell in rising["by_gap"].items() if gap != "1"}
    return grouped_bars("Pairs that ascend in item id", {"chance": [0.5]} | rows, {"share": "baseline"})


def _examples(examples: list[list[str]]) -> list[Markup]:
    if not examples:
        return []
    pairs = (
        tag("li", tag("span", title, class_="item"), tag("span", f"{other} ({second}, beside {first})", class_="item"))
        for first, title, second, other in examples
    )
    return [tag("figure", tag("figcaption", "Some of the pairs"), tag("ol", *pairs, class_="twins"))]


def _baselines(figures: Mapping[str, Any]) -> Markup:
    baselines = figures["baselines"]
    splits = [short for short in ("test", "val") if f"{short}/ndcg@10" in baselines["seen_excluded"]["popularity"]]
    columns = [f"{short}/{metric}@10" for short in splits for metric in ("recall", "ndcg")]

    def cells(row: Mapping[str, Any]) -> list[Markup]:
        return [
            tag("td", f"{row[key]['mean']:.4f}", tag("small", f"{row[key]['low']:.4f}–{row[key]['high']:.4f}"))
            for key in columns
        ]

    def rows(rule: str) -> list[Markup]:
        return [
            tag(
                "tr",
                tag("th", _name(name), scope="row"),
                *cells(row),
                class_="model" if name == baselines["best"] else "baseline",
            )
            for name, row in baselines[rule].items()
        ]

    words = {"test": "test", "val": "validation"}
    metrics = {"recall@10": "Recall@10", "ndcg@10": "NDCG@10"}
    heads = [tag("th", f"{words[key.partition('/')[0]]} {metrics[key.partition('/')[2]]}", scope="col") for key in columns]
    head = tag("thead", tag("tr", tag("td"), *heads))

    def table(rule: str) -> Markup:
        return scrolling(f"Baselines, {rule.replace('_', ' ')}", tag("table", head, tag("tbody", *rows(rule))))

    chosen = words[baselines["chosen_on"]]
    return section(
        "Baselines, in figures",
        table("seen_excluded"),
        tag("details", tag("summary", "The same with seen items kept"), table("seen_kept")),
        note="Full ranking, fitted on the training part; items of the history excluded. Small figures: 95 % "
        "bootstrap intervals "
        f"over users. Marked: the best by {chosen} NDCG@10.",
    )


def _provenance(audit: Mapping[str, Any]) -> Markup:
    data, size = audit["dataset"], audit["figures"]["size"]
    facts: dict[str, object] = {
        "dataset": data["fingerprint"],
        "data": _facts_text(data["settings"].get("data", {})),
        "split": _facts_text(data.get("split", {})),
        "order of events": _facts_text(data.get("order", {})),
        "density": f"{size['density']:.4%}",
        "events per user": f"median {size['median_events']:g}, at most {size['max_events']:,}",
        "training events per item": f"median {size['median_item_count']:g}",
        "time taken": f"{audit['seconds']['all']:.0f} s, nothing trained",
    }
    return section("How it was measured", facts_list(facts))


def _facts_text(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.strip('_').replace('_', ' ')} {value}" for key, value in facts.items() if value is not None)


def _name(baseline: str) -> str:
    return NAMES.get(baseline, baseline)


def audit_data(config: Config, *, log: Callable[[str], None] = print) -> tuple[Path, dict[str, Any]]:
    """Prepares the data, runs every check, and writes ``audit.json`` and ``audit.html`` into the run's folder, nothing else.

    A run of the same name stays as it is: its record, and what it links to.

    Returns:
        The folder, and the content of audit.json: ``verdict``, ``findings``, ``figures``, ``dataset``, ``seconds``.

    Raises:
        GenRecError: as ``prepare`` does; DataError where the split leaves nothing to test on.
    """
    run = run_of(config)
    artifact = make_artifact(config, until="prepare", log=log)
    audit = audit_dataset(artifact, name=run.name, threads=config.tree["threads"], log=log)
    run.path.mkdir(parents=True, exist_ok=True)
    for name, text in (("json", json.dumps(audit, indent=2, ensure_ascii=False)), ("html", audit_page(audit))):
        draft = run.path / f".{AUDIT}.{name}.{os.getpid()}"
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, run.path / f"{AUDIT}.{name}")
    return run.path, audit
