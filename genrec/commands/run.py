"""Make everything that the chosen components need, and skip what is up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genrec.engine.config import Config, groups
from genrec.engine.overrides import setting
from genrec.engine.pipeline import LAST, Force, Step, plan, run_of, unused_overrides
from genrec.engine.processes import processes
from genrec.engine.registry import NAMED
from genrec.engine.runs import Run
from genrec.engine.sweep import Job, config_of, expand, run_jobs
from genrec.errors import ConfigError, GenRecError
from genrec.types import Split

if TYPE_CHECKING:  # comparing is slow to import
    from genrec.reports.evaluated_runs import Finished


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("overrides", nargs="*", metavar="group=option | group=file.yaml | key=value")
    parser.add_argument("--plan", action="store_true", help="say what would run, what is skipped and why; run nothing")
    parser.add_argument("-m", "--multirun", action="store_true", help="run every combination of comma-separated values")
    parser.add_argument(
        "--new", metavar="RUN", help="add items that came after RUN: all it fitted stays, no ID moves (extends=)"
    )
    parser.add_argument(
        "--force", metavar="STAGE", action="append", default=[],
        help="make this stage and all that follows it anew, even when up to date (several: repeat it, or commas)",
    )  # fmt: skip
    parser.set_defaults(until=LAST)


def main(options: argparse.Namespace) -> int:
    """Plans or runs; returns the exit code."""
    if options.new:
        options.overrides = [setting("extends", options.new), *options.overrides]
    force = [name for names in options.force for name in names.split(",") if name]
    jobs = expand(options.overrides) if options.multirun else [Job(tuple(options.overrides))]
    if options.plan:
        for job in jobs:
            config = config_of(job, options.until)
            print_plan(config, plan(config, until=options.until, force=Force(frozenset(force))))
        return 0
    return run_and_compare(jobs, until=options.until, force=force)


def run_and_compare(
    jobs: Sequence[Job], *, until: str = LAST, log: Callable[[str], None] = print, force: Sequence[str] = ()
) -> int:
    """Runs jobs, prints their evaluations side by side and the errors of those that failed; returns the exit code."""
    here = processes()
    if here.world > 1 and len(jobs) > 1:
        expected, fix = f"one run for {here.world} processes", "leave -m out, or start each job with a torchrun of its own"
        raise ConfigError("-m", expected=expected, got=f"{len(jobs)} jobs", fix=fix)
    outcome = run_jobs(jobs, until=until, log=log, force=force, report=_report)
    if not here.leads:
        return outcome.exit_code
    if until == LAST and outcome.runs:
        _print_results(outcome.runs, log)
    for name, failure in outcome.failures:
        print(f"failed: {name}: {failure}", file=sys.stderr)
    return outcome.exit_code


def _report(run: Run) -> Path:
    from genrec.reports.report import write_report  # polars and the rest, not before a run is done

    return write_report(run)


def _print_results(runs: Sequence[Run], log: Callable[[str], None]) -> None:
    from genrec.reports.text_tables import print_comparison
    from genrec.reports.verdict import advice_of

    print_comparison([(run.name, run.artifact("evaluation")) for run in runs])
    for run in runs:
        if "generator" in run.kinds and (diverged := run.artifact("generator").facts.get("diverged")):
            log(f"{run.name}: {diverged}")
    for advice in advice_of(runs[0]) if len(runs) == 1 else ():
        log(f"try: {advice.reason}\n  {advice.command}")
    if len(runs) > 1:
        compare_runs(runs, log)


def compare_runs(runs: Sequence[Run], log: Callable[[str], None] = print) -> None:
    """Writes ``<paths.runs>/<what the names begin with>.compare.html``: which differences between the runs are significant."""
    from genrec.reports.evaluated_runs import COMPARISON, find_runs

    file = runs[0].path.with_name(f"{runs[0].name.partition(',')[0]}{COMPARISON}")
    try:
        write_comparison(find_runs([str(run.path) for run in runs]), file)
        log(f"which differences are significant: {file}")
    except GenRecError as error:  # of another dataset, by another rule: they may be run together, but not compared
        log(f"no comparison: {error}")


def write_comparison(runs: Sequence[Finished], file: Path) -> None:
    """Compares runs and writes the page: on test, or on validation when that is all that was measured.

    Raises:
        ConfigError: when the runs cannot be compared.
    """
    from genrec.reports.comparison import comparison_page
    from genrec.reports.standings import standings

    split: Split = "test" if all("test" in run.metrics["users"] for run in runs) else "validation"
    file.write_text(comparison_page(standings(runs, split=split)), encoding="utf-8")


def print_plan(config: Config, steps: Sequence[Step]) -> None:
    """Prints a line per stage: its name, what would be done, and why."""
    print(f"{run_of(config).path}:")
    for step in steps:
        print(f"  {step.stage.name:<10} {step.action:<7} {step.reason}")
    for note in (*config.notes, *unused_overrides(config, steps)):
        print(f"  {note}")


def epilog() -> str:
    """Lists the configuration groups with their options, each with the first line of its file."""
    lines = ["groups and their options:"]
    for group, options in groups().items():
        named = next((".".join(parameter) for parameter, part in NAMED.items() if part == group), None)
        lines.append(f"\n  {group}" + (f" (in a list: {named}=[default,...])" if named else ""))
        for option, file in options.items():
            first = file.read_text(encoding="utf-8").partition("\n")[0]
            lines.append(f"    {option:<24} {first.lstrip('# ') if first.startswith('#') else ''}".rstrip())
    lines.append("\n  name=NAME  seed=N  paths.runs=DIR  device=auto|cpu|cuda|cuda:N|mps  precision=auto|fp32|bf16  threads=N")
    lines.append("  plugins=[PACKAGE]  GROUP=./FILE.yaml")
    return "\n".join(lines)
