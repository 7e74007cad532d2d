"""List the runs: when they started, what they have, and their test figures."""

from __future__ import annotations

import argparse
import json

from genrec.artifacts import Artifact
from genrec.errors import ArtifactError
from genrec.paths import expanded
from genrec.runs import Run, list_runs

_FIGURES = ("test/recall@10", "test/ndcg@10")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("runs", nargs="?", default="runs", metavar="DIR", help="the runs folder, as paths.runs (default: runs)")


def main(options: argparse.Namespace) -> int:
    """Prints a table; returns the exit code."""
    root = expanded(options.runs.removeprefix("paths.runs="))
    rows = [_row(run) for run in list_runs(root)]
    if not rows:
        print(f"no runs in {root}/; start one with: genrec run experiment=demo")
        return 0
    header = ("run", "started (UTC)", *(figure.removeprefix("test/") for figure in _FIGURES), "has")
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(run: Run) -> tuple[str, ...]:
    started = str(run.record.get("started", "")).removesuffix("+00:00").replace("T", " ")
    figures = _model_figures(Artifact(run.path / "evaluation"))
    return (run.name, started, *(_shown(figures.get(figure)) for figure in _FIGURES), " ".join(run.kinds))


def _model_figures(evaluation: Artifact) -> dict[str, float]:
    """None where there is no evaluation, nor where it is damaged: one bad run hides no other, and `genrec show` says why."""
    try:
        return dict(json.loads((evaluation.check(hashes=True).path / "metrics.json").read_text(encoding="utf-8"))["model"])
    except (ArtifactError, OSError, KeyError):
        return {}


def _shown(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.4f}"
