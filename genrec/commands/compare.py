"""Compare finished runs and their best baseline: means, intervals over users and seeds, and significance tests."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Literal

FORMS: tuple[Literal["csv", "latex", "markdown"], ...] = ("csv", "latex", "markdown")
_ABOUT = """\
Runs whose settings differ in seeds only are seeds of one model. All must have been measured on the same data by the same rules.

  genrec compare runs/a runs/b                               two runs: randomization test and bootstrap over users
  genrec compare runs/*,seed=*                               seeds of several models: users and seeds are drawn at random
  genrec compare runs/tiger runs/sasrec                      the name of a sweep (-m seed=0,1,2 name=tiger): all its runs
  genrec compare tiger=runs/t0 tiger=runs/t1 sasrec=runs/s   MODEL=RUN names a run's model: for lists made elsewhere
  genrec compare runs/* --baseline sasrec --html table.html  each against one, as a page

Every model is tested against the baseline that is best on validation, too.
p: chance of a difference this large between equally good models; adjusted for the number of comparisons (Holm), so that at
most one table in 20 holds any false claim. A difference is called significant when its adjusted p is at most .05.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="runs/NAME, NAME, an evaluation folder, or MODEL=RUN")
    parser.add_argument(
        "--metric", help="such as recall@10, or several: ndcg@10,recall@10 (default: ndcg at the evaluation's headline k)"
    )
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="of the users (default: test)")
    parser.add_argument(
        "--baseline",
        metavar="NAME",
        help="compare with this model, or run, only (default: every pair; of more than 8 models, each with validation's best)",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page, too")
    for form in FORMS:
        parser.add_argument(f"--{form}", type=Path, metavar="FILE", help=f"write the figures as a {form} table, too")
    parser.add_argument("--draws", type=int, default=10_000, help="of each randomization test and bootstrap (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")


def epilog() -> str:
    """Explains which runs can be compared, and how."""
    return _ABOUT


def main(options: argparse.Namespace) -> int:
    """Prints the tables; returns the exit code."""
    from genrec.errors import ConfigError
    from genrec.reports.comparison import comparison_page
    from genrec.reports.evaluated_runs import find_runs
    from genrec.reports.standings import standings
    from genrec.reports.text_tables import print_standings, written

    for name, value, least in (("--draws", options.draws, 1), ("--seed", options.seed, 0)):
        if value < least:
            raise ConfigError(name, expected=f"{least} or more", got=value, fix="leave it out for the default")
    runs = find_runs(options.runs)
    several = [
        standings(
            runs,
            split=options.split,
            metric=metric or None,
            baseline=options.baseline,
            draws=options.draws,
            seed=options.seed,
        )
        for metric in dict.fromkeys((options.metric or "").split(","))
    ]
    for comparison in several:
        print_standings(comparison)
    texts = {options.html: lambda: comparison_page(*several)} if options.html else {}
    texts |= {file: partial(written, several, form) for form in FORMS if (file := getattr(options, form))}
    for file, text in texts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text(), encoding="utf-8")
        print(f"wrote {file}")
    return 0
