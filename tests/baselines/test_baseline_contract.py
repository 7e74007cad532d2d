"""What every baseline of conf/evaluate and conf/decoding promises; a new one is tested the moment a yaml names it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from genrec.engine.components import TARGET, component_class, instantiate
from genrec.engine.config import conf_folder
from genrec.testing import BaselineContract
from genrec.testing.baselines import runtime_of
from genrec.testing.worlds import Maker


def nodes() -> Iterator[Mapping[str, Any]]:
    """Each baseline once, by its class."""
    found: dict[str, Mapping[str, Any]] = {}
    for group, key in (("evaluate", "baselines"), ("decoding", "scorers")):
        for file in sorted((conf_folder() / group).glob("*.yaml")):
            for node in (yaml.safe_load(file.read_text(encoding="utf-8")).get(key) or {}).values():
                found.setdefault(node[TARGET], node)
    yield from found.values()


class TestEveryBaseline(BaselineContract):
    @pytest.fixture(params=list(nodes()), ids=lambda node: node[TARGET].rpartition(".")[2])
    def make(self, request: pytest.FixtureRequest) -> Maker:
        node = request.param
        return Maker(json.dumps(node), lambda: instantiate(node, **runtime_of(component_class(node))))
