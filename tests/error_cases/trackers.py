"""Messages of the trackers."""

from __future__ import annotations

import sys
from typing import Any

from error_cases import Case, Scene
from genrec.config import compose
from genrec.errors import ConfigError
from genrec.stages.pipeline import execute

ROOMS = ["training/loggers", "stages/track.py"]


def without_tensorboard(scene: Scene) -> Any:
    scene.monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    return execute(compose(["logger=tensorboard"]), until="prepare", say=lambda line: None)


CASES = [Case("tensorboard is not installed", ConfigError, "no such package", without_tensorboard)]
