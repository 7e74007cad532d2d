"""Several runs from one command: all combinations of comma-separated values, which share their common artifacts."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from genrec.engine.config import Config, compose, parse_overrides
from genrec.engine.overrides import setting
from genrec.engine.pipeline import LAST, Force, execute, plan, require_data
from genrec.engine.runs import Run
from genrec.errors import GenRecError


@dataclass(frozen=True)
class Job:
    """One combination.

    Args:
        overrides: without commas.
        suffix: the swept part, for the run's name.
    """

    overrides: tuple[str, ...]
    suffix: str = ""


def expand(overrides: Sequence[str]) -> list[Job]:
    """Returns every combination of the swept overrides, each with a suffix of its values for the run's name.

    A ``name=`` with an interpolation (``name=lr_${train.lr}``) is taken as it is.
    """
    parsed = parse_overrides(overrides)
    named = next((o.input_line.partition("=")[2] for o in parsed if o.key_or_group == "name"), "")
    swept = {override.key_or_group for override in parsed if override.is_sweep_override()}
    if not named:
        swept.discard("experiment")  # an experiment names its run
    choices = [
        list(override.sweep_string_iterator()) if override.is_sweep_override() else [override.input_line.partition("=")[2]]
        for override in parsed
    ]
    jobs = []
    for values in product(*choices):
        words = tuple(
            f"{override.input_line.partition('=')[0]}={value}" for override, value in zip(parsed, values, strict=True)
        )
        special = [f"{o.key_or_group}={value}" for o, value in zip(parsed, values, strict=True) if o.key_or_group in swept]
        jobs.append(Job(words, suffix="" if "${" in named or not special else "," + _safe_name(",".join(special))))
    return jobs


def _safe_name(text: str) -> str:
    """Returns the text as part of a run's name; a hash keeps it unique if it was changed or cut."""
    safe = re.sub(r"[^A-Za-z0-9._=,+@-]", "-", text)[:120]
    return safe if safe == text else f"{safe}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def config_of(job: Job, until: str) -> Config:
    """Composes the configuration of a job, with the name of its run.

    Raises:
        ConfigError: when it is none, or names no data for the stages up to ``until``.
    """
    config = compose(job.overrides)
    require_data(config, until)
    return compose([*job.overrides, setting("name", f"{config.name}{job.suffix}")]) if job.suffix else config


@dataclass(frozen=True)
class Outcome:
    """The results of several jobs.

    Args:
        runs: those that were made, in order.
        failures: name and error of each job that failed.
    """

    runs: Sequence[Run]
    failures: Sequence[tuple[str, Exception]]

    @property
    def exit_code(self) -> int:
        """Exit code of the command line: 0 without failures, 2 if the user can fix all of them, else 1."""
        codes = (2 if isinstance(failure, GenRecError) else 1 for _, failure in self.failures)
        return max(codes, default=0)


def run_jobs(
    jobs: Sequence[Job],
    *,
    until: str = LAST,
    log: Callable[[str], None] = print,
    force: Sequence[str] = (),
    report: Callable[[Run], Path] | None = None,
) -> Outcome:
    """Checks all jobs and runs them one after the other; the others still run when one fails.

    Args:
        jobs: at least one.
        until: the last stage.
        log: prints a line.
        force: names of stages to make anew.
        report: see ``execute``.

    Raises:
        GenRecError: as ``plan`` does of any job, and what is wrong with a single one.
    """
    configs, forced = [], Force(frozenset(force))
    for job in jobs:
        config = config_of(job, until)
        plan(config, until=until, force=forced)
        configs.append(config)
    runs: list[Run] = []
    failures: list[tuple[str, Exception]] = []
    for number, config in enumerate(configs, start=1):
        if len(jobs) > 1:
            log(f"job {number}/{len(jobs)}: {config.name}")
        try:
            runs.append(execute(config, until=until, log=log, force=forced, report=report))
        except Exception as error:
            if len(jobs) == 1:
                raise
            failures.append((config.name, error))
            if not isinstance(error, GenRecError) or os.environ.get("GENREC_TRACEBACK") == "1":
                traceback.print_exception(error)
            else:
                print(error, file=sys.stderr)
    return Outcome(runs, failures)
