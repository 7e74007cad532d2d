"""Runs the models of a study, one after the other, and compares them: the table of the study from one command.

    python docs/sweeps/study.py docs/sweeps/family.yaml data.interactions=FILE data.items=FILE
    python docs/sweeps/study.py docs/sweeps/family.yaml --only encdec,sasrec --plan data=demo

Each run is named after study and model (``family_sasrec``), and what is finished is found in the store.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from genrec.commands.run import print_plan
from genrec.engine.overrides import setting
from genrec.engine.pipeline import plan
from genrec.engine.sweep import Job, config_of, run_jobs
from genrec.errors import GenRecError

LANGUAGE_MODEL = "generator.model=FOLDER"


def jobs_of(file: Path, given: Sequence[str], *, only: Sequence[str] = (), language_model: str | None = None) -> list[Job]:
    """A job for each model; one that needs a language model is left out, and named, where none is given.

    Args:
        file: the study.
        given: overrides that all models get, after their own.
        only: the models to run; empty: all.
        language_model: a folder, or a name on the hub.
    """
    study = yaml.safe_load(file.read_text(encoding="utf-8"))
    if unknown := sorted(set(only).difference(study["models"])):
        sys.exit(f"--only: expected models of {file}, got {unknown[0]}; known: {', '.join(study['models'])}")
    jobs = []
    for model in only or study["models"]:
        settings = list(study["models"][model]["settings"])
        if LANGUAGE_MODEL in settings:
            if language_model is None:
                print(f"note: {model} is left out; it needs --language-model FOLDER")
                continue
            settings[settings.index(LANGUAGE_MODEL)] = setting("generator.model", language_model)
        jobs.append(Job((*study["shared"], *settings, setting("name", f"{file.stem}_{model}"), *given)))
    return jobs


def main() -> int:
    """Plans or runs; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="group=option | key=value", help="what all models get")
    parser.add_argument("--only", default="", metavar="MODEL,MODEL", help="these models of the study")
    parser.add_argument("--language-model", metavar="FOLDER", help="for models that are one: a folder, or a name on the hub")
    parser.add_argument("--plan", action="store_true", help="say what would run; run nothing")
    options = parser.parse_intermixed_args()
    only = [model for model in options.only.split(",") if model]
    jobs = jobs_of(options.study, options.overrides, only=only, language_model=options.language_model)
    try:
        if not options.plan:
            return run_jobs(jobs)
        for job in jobs:
            config = config_of(job, "evaluate")
            print_plan(config, plan(config))
    except GenRecError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
