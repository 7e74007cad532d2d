"""Figures as text: the tables that the terminal shows, and tables of comparisons for papers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from genrec.engine.artifacts import Artifact
from genrec.engine.runs import read_metrics
from genrec.reports.comparison import conclusion, p_text
from genrec.reports.lists_sections import MEANINGS
from genrec.reports.standings import Row, Standings, metric_label
from genrec.reports.verdict import in_sample, member_label, verdict

BEYOND = {
    "coverage": "{:.0%} of the catalogue shown",
    "gini": "Gini {:.2f}",
    "popularity_lift": "popularity {:+.0%}",
    "novelty": "novelty {:.1f} bits",
    "diversity": "diversity {:.2f}",
}
USUAL = frozenset(MEANINGS) | {"recall", "ndcg", "mrr", "precision", "hit", "map"}  # shipped: in the table, or on a page


def print_comparison(runs: Sequence[tuple[str, Artifact]], console: Console | None = None) -> None:
    """Prints the evaluations of one or more runs in one table, then a sentence on each.

    Runs on the same dataset by the same rules stand together under one set of baselines.

    Args:
        runs: name and ``evaluation`` artifact of each run.
        console: where to; the terminal by default.
    """
    console = console or Console()
    metrics_of_runs = [(name, read_metrics(artifact.path)) for name, artifact in runs]
    groups: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for name, metrics in metrics_of_runs:
        groups.setdefault(_title(metrics), []).append((name, metrics))
    for title, members in groups.items():
        console.print(title, style="dim", highlight=False, soft_wrap=True)
        console.print(_evaluation_table(members))
    for name, metrics in metrics_of_runs:
        console.print(verdict(name, metrics), highlight=False, soft_wrap=True)
        if line := in_sample(metrics):
            console.print(f"{name}: {line.strip()}", highlight=False, soft_wrap=True)
        if line := _beyond(name, metrics):
            console.print(line, highlight=False, soft_wrap=True)


def _title(metrics: Mapping[str, Any]) -> str:
    """The rules that a group of rows shares."""
    dataset, rules = metrics["dataset"], metrics["rules"]
    users = " / ".join(f"{count:,} {split}" for split, count in metrics["users"].items())
    seen = "seen items excluded" if rules["exclude_seen"] else "seen items kept"
    seen += f", among {rules['candidates']['mean']:g} candidates a user" if rules.get("candidates") else ""
    return f"{dataset['num_items']:,} items (dataset {dataset['fingerprint'][:8]}), {users} users, {seen}"


def _beyond(name: str, metrics: Mapping[str, Any]) -> str:
    """Returns the figures beyond accuracy that were measured."""
    model, k = metrics["model"], metrics["rules"]["headline_k"]
    short = "test" if "test" in metrics["users"] else "val"
    figures = {figure: model.get(f"{short}/{figure}@{k}") for figure in BEYOND}
    phrases = [BEYOND[figure].format(value) for figure, value in figures.items() if value is not None]
    labels = metrics.get("labels", {})  # those of a user's package stand here, whatever they count
    others = [name for name in labels if name not in USUAL and f"{short}/{name}@{k}" in model]
    phrases += [f"{labels[name]} {model[f'{short}/{name}@{k}']:.4f}" for name in others]
    sentence = ", ".join(phrases)
    return f"{name}: {sentence} (first {k}, {short})" if sentence else ""


def _evaluation_table(members: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    """Fits 80 columns: test at 5 and at the headline k, validation at the headline k."""
    first, headline = members[0][1], members[0][1]["rules"]["headline_k"]
    shorts = ["test", "val"] if "test" in first["users"] else ["val"]
    columns = [(shorts[0], 5), *((short, headline) for short in shorts)]
    keys = [f"{short}/{metric}@{k}" for short, k in dict.fromkeys(columns) for metric in ("recall", "ndcg")]
    keys = [key for key in keys if all(key in metrics["model"] for _, metrics in members)]
    interval = f"{shorts[0]}/ndcg@{headline}"

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    table.add_column("", overflow="fold", min_width=12)
    for key in keys:
        short, _, metric = key.partition("/")
        name = f"{metric[0].upper()}{metric[metric.index('@') :]}"
        table.add_column(f"{short}\n{name}", justify="right", no_wrap=True, min_width=6)
    table.add_column(f"{shorts[0]} N@{headline}\n95 % interval", justify="right", no_wrap=True, min_width=15)

    def add(name: str, row: Mapping[str, float], spread: Mapping[str, Sequence[float]], style: str = "") -> None:
        low_high = "{:.4f} - {:.4f}".format(*spread[interval]) if interval in spread else ""
        table.add_row(name, *(f"{row[key]:.4f}" for key in keys), low_high, style=style)

    baselines = {
        (name, json.dumps(row, sort_keys=True)): (row, m["baseline_intervals"][name])
        for _, m in members
        for name, row in m["baselines"].items()
    }
    for (name, _), (row, spread) in baselines.items():
        add(name, row, spread)
    for name, row in first["bounds"].items():
        add(f"{name} bound", row, {}, "cyan")
    table.add_section()
    for name, metrics in members:
        for member, row in metrics.get("members", {}).items():
            add(member_label(member), row, metrics["member_intervals"][member])
        add(name, metrics["model"], metrics["intervals"], "bold green")
    return table


def print_standings(standings: Standings, console: Console | None = None) -> None:
    """Prints models beside baselines, then the pairs, then what it means."""
    console = console or Console()
    seen = {True: "seen items excluded", False: "seen items kept", None: "rule for seen items unknown"}[standings.exclude_seen]
    title = f"{standings.label}: {standings.users:,} users, {standings.num_items:,} items, {seen}"
    console.print(title, style="dim", highlight=False, soft_wrap=True)
    console.print(_models(standings))
    if standings.pairs:
        table = _standings_table("difference", "95 % interval", "p", "adjusted", "")
        for pair in standings.pairs:
            table.add_row(
                f"{pair.first} - {pair.second}",
                f"{pair.comparison.difference:+.4f}",
                "{:+.4f} to {:+.4f}".format(*pair.comparison.interval),
                p_text(pair.comparison.p),
                p_text(pair.p),
                "significant" if pair.significant else "not significant",
                style="bold" if pair.significant else "",
            )
        console.print(table)
    console.print(conclusion(standings), highlight=False, soft_wrap=True)


def _models(standings: Standings) -> Table:
    table = _standings_table("runs", "mean", "95 % interval", "sd of runs")
    for row in standings.baselines:
        interval = "{:.4f} - {:.4f}".format(*row.interval) if row.interval else ""
        table.add_row(row.name, "", f"{row.value:.4f}", interval, "", style="" if row.kind == "baseline" else "cyan")
    table.add_section()
    for row in sorted(standings.models, key=lambda row: -row.value):
        interval = "{:.4f} - {:.4f}".format(*row.interval) if row.interval else ""
        spread = "" if row.spread is None else f"{row.spread:.4f}"
        table.add_row(row.name, str(len(row.runs)), f"{row.value:.4f}", interval, spread, style="bold green")
    return table


def _standings_table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    table.add_column("", overflow="fold", min_width=12)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


Format = Literal["csv", "latex", "markdown"]


def comparison_table(standings: Standings, form: Format) -> str:
    """Baselines, bounds and models with mean (and standard deviation over seeds) of every figure of the comparison.

    Args:
        standings: of the compared models.
        form: csv has a column for each standard deviation; the others write mean ± deviation.
    """
    keys = sorted({standings.metric, *(key for row in standings.models for key in row.others)}, key=_order)
    rows = [*standings.baselines, *sorted(standings.models, key=lambda row: -row.value)]
    if form == "csv":
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "kind", "runs", *(head for key in keys for head in (key, f"{key} sd"))])
        for row in rows:
            writer.writerow(
                [row.name, row.kind, len(row.runs) or "", *(cell for key in keys for cell in _numbers(standings, row, key))]
            )
        return file.getvalue()
    heads = [
        "",
        *(f"{'validation' if key.startswith('val/') else 'test'} {metric_label(key, standings.labels)}" for key in keys),
    ]
    plus_minus = " $\\pm$ " if form == "latex" else " ± "
    lines = [
        [row.name, *(plus_minus.join(_numbers(standings, row, key)).removesuffix(plus_minus) for key in keys)] for row in rows
    ]
    if form == "markdown":
        rule = ["---", *("---:" for _ in keys)]
        return "".join(f"| {' | '.join(line)} |\n" for line in (heads, rule, *lines))
    body = "".join(f"{' & '.join(map(_escaped, line))} \\\\\n" for line in lines)
    head = " & ".join(map(_escaped, heads))
    return f"\\begin{{tabular}}{{l{'r' * len(keys)}}}\n\\hline\n{head} \\\\\n\\hline\n{body}\\hline\n\\end{{tabular}}\n"


def _order(key: str) -> tuple[bool, int, int, str]:
    """Test first, then by k, recall before ndcg."""
    short, _, metric = key.partition("/")
    name, _, k = metric.partition("@")
    return short == "val", int(k or 0), ["recall", "ndcg"].index(name) if name in ("recall", "ndcg") else 2, name


def _numbers(standings: Standings, row: Row, key: str) -> tuple[str, str]:
    """Mean and standard deviation; empty where there is none."""
    value, spread = (row.value, row.spread) if key == standings.metric else (row.others.get(key), row.spreads.get(key))
    return "" if value is None else f"{value:.4f}", "" if spread is None else f"{spread:.4f}"


def _escaped(text: str) -> str:
    for sign in "&%#_":
        text = text.replace(sign, f"\\{sign}")
    return text


def written(several: Sequence[Standings], form: Format) -> str:
    """One table after another, an empty line between them."""
    return "\n".join(comparison_table(standings, form) for standings in several)
