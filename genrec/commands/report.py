"""Write a run's report again: one self-contained page, next to its artifacts."""

from __future__ import annotations

import argparse
from pathlib import Path

from genrec.engine.runs import Run, find_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("run", help="runs/NAME, or just NAME")
    parser.add_argument("--out", type=Path, help="the file to write (default: runs/NAME/report.html)")


def main(options: argparse.Namespace) -> int:
    """Writes the page; returns the exit code."""
    from genrec.reports.report import write_report  # polars and the rest, not before arguments are checked

    print(write_report(Run(find_folder(options.run)), options.out))
    return 0
