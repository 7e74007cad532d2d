"""A comparison of models as tables in the terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from genrec.reports.comparison import Standings, conclusion, p_text


def print_standings(found: Standings, console: Console | None = None) -> None:
    """Prints models beside baselines, then the pairs, then what it means."""
    console = console or Console()
    seen = {True: "seen items excluded", False: "seen items kept", None: "rule for seen items unknown"}[found.exclude_seen]
    title = f"{found.label}: {found.users:,} users, {found.num_items:,} items, {seen}"
    console.print(title, style="dim", highlight=False, soft_wrap=True)
    console.print(_models(found))
    if found.pairs:
        table = _standings_table("difference", "95 % interval", "p", "adjusted", "")
        for pair in found.pairs:
            table.add_row(
                f"{pair.first} - {pair.second}",
                f"{pair.comparison.difference:+.4f}",
                "{:+.4f} to {:+.4f}".format(*pair.comparison.interval),
                p_text(pair.comparison.p),
                p_text(pair.p),
                "significant" if pair.real else "not significant",
                style="bold" if pair.real else "",
            )
        console.print(table)
    console.print(conclusion(found), highlight=False, soft_wrap=True)


def _models(found: Standings) -> Table:
    table = _standings_table("runs", "mean", "95 % interval", "sd of runs")
    for row in found.baselines:
        interval = "{:.4f} - {:.4f}".format(*row.interval) if row.interval else ""
        table.add_row(row.name, "", f"{row.value:.4f}", interval, "", style="" if row.kind == "baseline" else "cyan")
    table.add_section()
    for row in sorted(found.models, key=lambda row: -row.value):
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
