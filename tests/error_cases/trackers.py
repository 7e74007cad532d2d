"""Messages of the trackers."""

from __future__ import annotations

import sys
from typing import Any

from error_cases import Case, Scene
from genrec.engine.config import compose
from genrec.engine.pipeline import execute
from genrec.errors import ConfigError


def without_tensorboard(scene: Scene) -> Any:
    scene.monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    return execute(compose(["logger=tensorboard"]), until="prepare", log=lambda line: None)


CASES = [Case("tensorboard is not installed", ConfigError, "no such package", without_tensorboard)]
