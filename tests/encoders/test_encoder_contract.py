"""What every encoder of conf/encoder promises; a new yaml is tested the moment it exists."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from genrec.engine.components import instantiate
from genrec.engine.config import conf_folder
from genrec.testing import EncoderContract
from genrec.testing.worlds import Maker

PRESETS = sorted((conf_folder() / "encoder").glob("*.yaml"))


def completed(node: Any, external: dict[str, Any]) -> Any:
    if not isinstance(node, dict):
        return node
    whole = {key: completed(value, external) for key, value in node.items()}
    return whole | external.get(str(node.get("_target_", "")).rpartition(".")[2], {})


class TestEveryEncoder(EncoderContract):
    @pytest.fixture(params=PRESETS, ids=lambda path: path.stem)
    def make(self, request: pytest.FixtureRequest, external: dict[str, Any]) -> Maker:
        node: dict[str, Any] = completed(yaml.safe_load(request.param.read_text(encoding="utf-8")), external)
        return Maker(json.dumps(node), lambda: instantiate(node, "encoder"))
