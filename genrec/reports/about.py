"""The head of a report: what was trained on what, when, by which code, and the command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from genrec.core.dataset import Dataset
from genrec.engine.artifacts import Artifact
from genrec.engine.config import option_name
from genrec.engine.overrides import flat_settings
from genrec.engine.runs import Run
from genrec.reports.page import tag


def about_run(run: Run, artifacts: Mapping[str, Artifact]) -> dict[str, object]:
    """What was trained on what, when, by which code, and the command: the first thing to read."""
    record, config, settings = run.record, run.config, dict[str, Any]()
    for artifact in artifacts.values():
        settings |= dict(flat_settings(artifact.config))
    about: dict[str, object] = {}
    if "data" in config:
        dataset = Dataset.load(artifacts["dataset"].path)
        source = config["data"].get("interactions") or config["data"].get("path") or ""
        events = f"{dataset.num_users:,} users, {dataset.num_items:,} items"
        about["data"] = " · ".join(str(part) for part in (option_name("data", settings), source, events) if part)
    for group in ("encoder", "tokenizer", "collision", "generator", "decoding"):
        if (option := option_name(group, settings)) != "-":
            about[group] = option
    if "seed" in config:
        about["seed"] = config["seed"]
    last = artifacts["evaluation"].manifest
    about["made"] = str(last["created"]).replace("T", " ").replace("+00:00", " UTC")
    commits = dict.fromkeys(_commit(artifact.manifest["environment"]) for artifact in artifacts.values())
    about["genrec"] = ", ".join([last["genrec"], *(commit for commit in commits if commit)])
    if "overrides" in record:
        about["command"] = tag("code", shlex.join(["genrec", "run", *record["overrides"]]))
    return about


def _commit(environment: Mapping[str, Any]) -> str:
    commit = environment.get("commit")
    return "" if not commit else f"commit {commit[:7]}" + (" with uncommitted changes" if environment.get("dirty") else "")
