"""Audit a dataset without training: floors, shortcuts, leaks and order, with a verdict on what a score on it can show."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from genrec.config import Config, compose
from genrec.runs import AUDIT
from genrec.stages.pipeline import make_artifact, require_data, run_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "overrides", nargs="*", metavar="group=option | key=value", help="as for `genrec run`: data, filters, ..."
    )


def main(options: argparse.Namespace) -> int:
    """Prints the findings and writes audit.json and audit.html; returns the exit code."""
    config = compose(options.overrides)
    require_data(config, "audit")
    folder, audit = audited(config, say=lambda line: print(line, flush=True))
    _print(audit)
    for ending in ("json", "html"):
        print(folder / f"{AUDIT}.{ending}")
    return 0


def audited(config: Config, *, say: Callable[[str], None] = print) -> tuple[Path, dict[str, Any]]:
    """Prepares the data, runs every check, and writes ``audit.json`` and ``audit.html`` into the run's folder, nothing else.

    A run of the same name stays as it is: its record, and what it links to.

    Returns:
        The folder, and the content of audit.json: ``verdict``, ``findings``, ``figures``, ``dataset``, ``seconds``.

    Raises:
        GenRecError: as ``prepare`` does; DataError where the split leaves nothing to test on.
    """
    from threadpoolctl import threadpool_limits

    from genrec.audits.audit import measure
    from genrec.audits.verdict import findings, verdict
    from genrec.dataset import Dataset
    from genrec.pages.audit import audit_page

    run = run_of(config)
    artifact = make_artifact(config, until="prepare", say=say)
    dataset = Dataset.load(artifact.path)
    start = time.perf_counter()
    with threadpool_limits(limits=config.tree["threads"]):
        figures = measure(dataset, say)
    seconds = figures.pop("seconds") | {"all": round(time.perf_counter() - start, 1)}
    found = findings(figures)
    audit: dict[str, Any] = {
        "name": run.name,
        "verdict": verdict(figures, found),
        "findings": [asdict(finding) for finding in found],
        "figures": figures,
        "dataset": {"fingerprint": artifact.fingerprint, "settings": artifact.config, **dataset.facts},
        "seconds": seconds,
    }
    run.path.mkdir(parents=True, exist_ok=True)
    for name, text in (("json", json.dumps(audit, indent=2, ensure_ascii=False)), ("html", audit_page(audit))):
        draft = run.path / f".{AUDIT}.{name}.{os.getpid()}"
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, run.path / f"{AUDIT}.{name}")
    return run.path, audit


def _print(audit: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    styles = {"fine": "green", "mind this": "yellow", "serious": "bold red", "not tested": "dim"}
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    for column, options in {"": {"no_wrap": True}, "check": {}, "figure": {"justify": "right"}, "what it is": {}}.items():
        table.add_column(column, **options)  # type: ignore[arg-type]
    for finding in audit["findings"]:
        grade = finding["grade"]
        table.add_row(f"[{styles[grade]}]{grade}[/]", finding["title"], finding["figure"], finding["label"])
    console = Console()
    console.print(table)
    console.print(audit["verdict"], highlight=False, soft_wrap=True)
