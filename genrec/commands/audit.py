"""Audit a dataset without training: baselines, shortcuts, leaks and order, with a verdict on what a score on it can show."""

from __future__ import annotations

import argparse
from typing import Any

from genrec.engine.config import compose
from genrec.engine.pipeline import require_data
from genrec.engine.runs import AUDIT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "overrides", nargs="*", metavar="group=option | key=value", help="as for `genrec run`: data, filters, ..."
    )


def main(options: argparse.Namespace) -> int:
    """Prints the findings and writes audit.json and audit.html; returns the exit code."""
    from genrec.reports.audit_page import audit_data  # polars and the rest, not before arguments are checked

    config = compose(options.overrides)
    require_data(config, "audit")
    folder, audit = audit_data(config, log=lambda line: print(line, flush=True))
    _print(audit)
    for ending in ("json", "html"):
        print(folder / f"{AUDIT}.{ending}")
    return 0


def _print(audit: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    styles = {"fine": "green", "warning": "yellow", "serious": "bold red", "not tested": "dim"}
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    for column, options in {"": {"no_wrap": True}, "check": {}, "figure": {"justify": "right"}, "what it is": {}}.items():
        table.add_column(column, **options)  # type: ignore[arg-type]
    for finding in audit["findings"]:
        grade = finding["grade"]
        table.add_row(f"[{styles[grade]}]{grade}[/]", finding["title"], finding["figure"], finding["label"])
    console = Console()
    console.print(table)
    console.print(audit["verdict"], highlight=False, soft_wrap=True)
