"""Runs that extend another (``extends=runs/x``): the same fitted encoder, tokenizer, IDs and generator, and more items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genrec.engine.artifacts import Artifact
from genrec.engine.overrides import flat_settings
from genrec.engine.runs import Run
from genrec.engine.stage import Stage
from genrec.errors import ArtifactError, ConfigError
from genrec.references import expanded


def parent_of(config: Mapping[str, Any], run: Run) -> Run | None:
    """The run that ``run`` extends, if it extends any.

    Raises:
        ArtifactError: when there is no such run.
        ConfigError: when it is the same.
    """
    if config["extends"] is None:
        return None
    parent = Run(expanded(config["extends"]))
    if not parent.record:
        raise ArtifactError("extends", expected="the folder of a run", got=str(parent.path), fix="`genrec ls` lists the runs")
    if parent.path.resolve() == run.path.resolve():
        raise ConfigError("name", expected="another name than that of the run it extends", got=run.name, fix="give name=...")
    return parent


def extended_artifact(parent: Run, stage: Stage, config: Mapping[str, Any]) -> Artifact:
    """The parent's artifact of a stage, once it is known that it was fitted as ``config`` says; data may differ.

    So may single settings of other stages that had a say (``Stage.reads``): what was chosen by them stays as it is.

    Raises:
        ArtifactError: when the parent has none, or it is damaged.
        ConfigError: naming the first setting that differs.
    """
    artifact = parent.artifact(stage.kind)
    was, now = dict(flat_settings(artifact.config)), dict(flat_settings(config))
    for key in () if stage.kind == "dataset" else (*now, *was):
        if key not in stage.reads and was.get(key, "nothing") != now.get(key, "nothing"):
            raise ConfigError(
                key,
                expected=f"{was.get(key, 'nothing')}, as in {parent.path}, which is extended as it was fitted",
                got=now.get(key, "nothing"),
                fix="leave it, or fit anew: run without extends",
            )
    return artifact
