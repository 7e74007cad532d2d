"""A stage: a function from artifacts to one artifact, and the settings that it reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genrec.engine.artifacts import Artifact
from genrec.engine.components import complete_settings
from genrec.engine.machine import resolve_device
from genrec.engine.processes import processes


@dataclass(frozen=True)
class Runtime:
    """Where and how to compute. Nothing here may change a result, so nothing here enters a fingerprint.

    Args:
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        threads: CPU threads.
        progress: show progress bars.
        name: the run's name.
        track: called with the figures of each round of training.
    """

    device: str = "auto"
    threads: int | None = None
    progress: bool = True
    name: str = "run"
    track: Callable[[Mapping[str, float]], None] = lambda row: None

    def machine(self) -> dict[str, Any]:
        """Returns the device and threads that a stage used, for its manifest; a stage without torch ran on the CPU."""
        torch = sys.modules.get("torch")
        if torch is None:
            return {"device": "cpu", "threads": self.threads or os.cpu_count()}
        device = processes().device(resolve_device(self.device))
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        world = processes().world
        return {"device": name, "threads": torch.get_num_threads()} | ({"processes": world} if world > 1 else {})


@dataclass(frozen=True)
class StageContext:
    """Everything that one execution of a stage gets.

    Args:
        config: the resolved configuration as plain dicts; a stage touches only the keys its ``Stage.reads`` names.
        inputs: artifact kind -> whole, verified artifact.
        folder: the stage writes its artifact's files here; they become visible all at once when ``build`` returns.
        work: a folder that survives a kill (checkpoints to resume from); removed once the artifact is whole.
        log: prints a line.
        runtime: where and how to compute.
        extends: this stage's artifact of the run that the run extends, or None.
    """

    config: Mapping[str, Any]
    inputs: Mapping[str, Artifact]
    folder: Path
    work: Path
    log: Callable[[str], None]
    runtime: Runtime
    extends: Artifact | None = None

    @property
    def parts(self) -> dict[str, Path]:
        """Artifact kind -> its folder."""
        return {kind: artifact.path for kind, artifact in self.inputs.items()}


@dataclass(frozen=True)
class Stage:
    """A step of the pipeline.

    Args:
        name: the verb (`genrec <name>`).
        kind: the artifact it makes.
        version: raised whenever the same config and inputs would give another result.
        reads: top-level configuration keys that its result depends on (they enter the fingerprint); ``group.key`` where it
            depends on that one setting of a group.
        inputs: which artifact kinds it needs, given the chosen components.
        build: writes the files and returns the facts for the manifest.
        extend: builds the artifact of a run that extends another, from ``StageContext.extends``: it keeps what was fitted and
            adds the items that came later. None: ``build`` makes it from what other stages extended.
        stands_for: configuration key -> which file or folder below the path given there counts as its content.
        shared: every process of a run started by ``torchrun`` takes part in its build; rank 0 alone writes what is kept.
        beside: a kind: the whole pipeline makes this stage's artifact whenever it makes that one, though no stage reads it.
    """

    name: str
    kind: str
    version: int
    reads: tuple[str, ...]
    inputs: Callable[[Mapping[str, Any]], tuple[str, ...]]
    build: Callable[[StageContext], dict[str, Any]]
    extend: Callable[[StageContext], dict[str, Any]] | None = None
    beside: str | None = None
    shared: bool = False
    stands_for: Mapping[str, Callable[[Path], Path]] = field(default_factory=dict)

    def settings(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the part of a configuration that it reads, with all defaults."""
        settings: dict[str, Any] = {}
        for key_path in self.reads:
            group, _, key = key_path.partition(".")
            settings[key_path] = complete_settings(tree[group])[key] if key else complete_settings(tree[group])
        return settings
