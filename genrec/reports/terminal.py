"""Evaluations as a table in the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from genrec.engine.artifacts import Artifact
from genrec.engine.runs import read_metrics
from genrec.reports.lists_sections import MEANINGS
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
    """What accuracy does not say, as far as it was counted."""
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
    wanted = [(shorts[0], 5), *((short, headline) for short in shorts)]
    keys = [f"{short}/{metric}@{k}" for short, k in dict.fromkeys(wanted) for metric in ("recall", "ndcg")]
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
