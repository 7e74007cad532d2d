"""Make everything that the chosen components need, and skip what is up to date."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from genrec.config import Config, groups
from genrec.overrides import setting
from genrec.registry import NAMED
from genrec.stages.pipeline import LAST, Force, Step, plan, run_of, unused_overrides
from genrec.stages.sweep import Job, config_of, expand, run_jobs


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
    return run_jobs(jobs, until=options.until, force=force)


def print_plan(config: Config, steps: Sequence[Step]) -> None:
    """Prints a line per stage: its name, what would be done, and why."""
    print(f"{run_of(config).path}:")
    for step in steps:
        print(f"  {step.stage.name:<10} {step.action:<7} {step.reason}")
    for note in (*config.notes, *unused_overrides(config, steps)):
        print(f"  {note}")


def epilog() -> str:
    """The configuration groups with their options, each told by the first line of its file."""
    lines = ["groups and their options:"]
    for group, options in groups().items():
        named = next((".".join(place) for place, part in NAMED.items() if part == group), None)
        lines.append(f"\n  {group}" + (f" (in a list: {named}=[default,...])" if named else ""))
        for option, file in options.items():
            first = file.read_text(encoding="utf-8").partition("\n")[0]
            lines.append(f"    {option:<24} {first.lstrip('# ') if first.startswith('#') else ''}".rstrip())
    lines.append("\n  name=NAME  seed=N  paths.runs=DIR  device=auto|cpu|cuda|cuda:N|mps  precision=auto|fp32|bf16  threads=N")
    lines.append("  plugins=[PACKAGE]  GROUP=./FILE.yaml")
    return "\n".join(lines)
