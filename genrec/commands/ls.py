"""List the runs: when they started, what they have, and their test figures."""

from __future__ import annotations

import argparse
from typing import Any

from genrec.engine.artifacts import Artifact
from genrec.engine.runs import Run, list_runs, read_metrics
from genrec.errors import ArtifactError
from genrec.references import expand_path

LISTED = " *"  # mark of figures that cover only some of the users
_FIGURES = ("test/recall@10", "test/ndcg@10")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("runs", nargs="?", default="runs", metavar="DIR", help="the runs folder, as paths.runs (default: runs)")


def main(options: argparse.Namespace) -> int:
    """Prints a table; returns the exit code."""
    root = expand_path(options.runs.removeprefix("paths.runs="))
    rows = [_row(run) for run in list_runs(root)]
    if not rows:
        print(f"no runs in {root}/; start one with: genrec run experiment=demo")
        return 0
    header = ("run", "started (UTC)", *(figure.removeprefix("test/") for figure in _FIGURES), "has")
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if any(cell.endswith(LISTED) for row in rows for cell in row):
        print(f"{LISTED} of the users with a list only (evaluate.users=listed): not to be compared with the others")
    return 0


def _row(run: Run) -> tuple[str, ...]:
    started = str(run.record.get("started", "")).removesuffix("+00:00").replace("T", " ")
    metrics = _metrics(Artifact(run.path / "evaluation"))
    figures, mark = metrics.get("model", {}), LISTED if metrics.get("rules", {}).get("users") == "listed" else ""
    return (run.name, started, *(_format(figures.get(figure), mark) for figure in _FIGURES), " ".join(run.kinds))


def _metrics(evaluation: Artifact) -> dict[str, Any]:
    """Returns the metrics of a run; none where it has no evaluation or a damaged one, which `genrec show` explains."""
    try:
        metrics = read_metrics(evaluation.check(hashes=True).path)
        return metrics if isinstance(metrics.get("model"), dict) else {}
    except (ArtifactError, OSError, ValueError):
        return {}


def _format(figure: float | None, mark: str) -> str:
    return "" if figure is None else f"{figure:.4f}{mark}"
