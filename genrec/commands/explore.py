"""Look at the semantic IDs of one run, or of two side by side: a page with the tree, its items, collisions and levels."""

from __future__ import annotations

import argparse
from pathlib import Path

from genrec.engine.runs import Run, find_folder

EXPLORER_FILE = "explorer.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="runs/NAME, or just NAME; a second one is shown beside the first"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the file to write (default: runs/NAME/explorer.html)")


def main(options: argparse.Namespace) -> int:
    """Writes the page; returns the exit code."""
    from genrec.errors import ConfigError
    from genrec.reports.explorer import explorer_page, read_run

    if len(options.runs) > 2:
        raise ConfigError("explore", expected="one run, or two", got=len(options.runs), fix="compare two at a time")
    runs = [Run(find_folder(name)) for name in options.runs]
    file: Path = options.out or runs[0].path / EXPLORER_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(explorer_page([read_run(run) for run in runs]), encoding="utf-8")
    print(file)
    return 0
