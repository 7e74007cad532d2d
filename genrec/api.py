"""The Python API, equal to the command line: ``genrec.run`` and ``genrec.load``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genrec.artifacts import MANIFEST, Artifact
from genrec.errors import ArtifactError
from genrec.runs import RECORD, Run


def run(*, overrides: Sequence[str] = (), until: str = "evaluate", quiet: bool = False, **settings: Any) -> Run:
    """Runs a pipeline, as ``genrec run`` does.

    Args:
        overrides: as on the command line, ``["tokenizer.num_levels=4"]``.
        until: the last stage.
        quiet: print nothing.
        settings: top-level settings and group choices, ``experiment="demo"``, ``tokenizer="rqvae"``, ``seed=1``.

    Returns:
        The run: ``.metrics``, ``.artifact("generator")``, ``.config``.

    Raises:
        GenRecError: what the command line tells in one line.
    """
    from genrec.config import compose
    from genrec.stages.pipeline import execute

    config = compose([*(f"{key}={_override_value(value)}" for key, value in settings.items()), *overrides])
    return execute(config, until=until, say=(lambda line: None) if quiet else print)


def _override_value(value: Any) -> str:
    if isinstance(value, str | Path):
        text = str(value)
        return text if text.replace("_", "").replace("/", "").replace(".", "").isalnum() else json.dumps(text)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_override_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}: {_override_value(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def load(path: str | Path, *, plugins: Sequence[str] = ()) -> Any:
    """Opens what a run left behind.

    Args:
        path: a run's folder (gives a ``Run``), one artifact's folder (an ``Artifact``), or a bundle (a ``Recommender``).
        plugins: your own packages whose classes a bundle may name; trust them as you trust code.

    Raises:
        ArtifactError: when it is neither, or damaged.
    """
    path = Path(path).expanduser()
    if (path / MANIFEST).exists():
        artifact = Artifact(path).check()
        if artifact.kind != "bundle":
            return artifact
        from genrec.serving.recommender import open_bundle

        return open_bundle(path, plugins=plugins)
    if (path / RECORD).exists():
        return Run(path)
    raise ArtifactError(path, expected="a run, an artifact or a bundle", got="neither", fix="`genrec ls` lists the runs")
