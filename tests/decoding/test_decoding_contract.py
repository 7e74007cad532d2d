"""What every strategy of conf/decoding promises; one that needs fitting has tests of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from small_world import Option, scrambled

from genrec.engine.components import instantiate
from genrec.engine.config import conf_folder
from genrec.protocols import FittedStrategy
from genrec.testing import DecodingContract
from genrec.testing.strategies import SIDS
from genrec.testing.worlds import Maker

WIDE = {"seed": 0, "num_beams": 200, "num_neighbours": 60, "per_prefix": 60}  # so wide that nothing is missed
DECODED = {
    "session": "moe",
    "parallel": "parallel",
    "masked": "masked_diffusion",
    "item_scorer": "sasrec",
    "text": "lc_rec",
}  # kind -> a generator of that kind


def node_of(file: Path) -> dict[str, Any]:
    node: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return node | {key: value for key, value in WIDE.items() if key in node}


PRESETS = [
    file
    for file in sorted((conf_folder() / "decoding").glob("*.yaml"))
    if not isinstance(instantiate(node_of(file), "decoding"), FittedStrategy)
]


class TestEveryStrategy(DecodingContract):
    @pytest.fixture(params=PRESETS, ids=lambda path: path.stem)
    def make(self, request: pytest.FixtureRequest) -> Maker:
        node = node_of(request.param)
        type(self).is_random = request.param.stem == "trie_sampling"
        self.kind = instantiate(node, "decoding").kind
        return Maker(request.param.stem, lambda: instantiate(node, "decoding"))

    def generator(self) -> Any:
        return scrambled(Option(DECODED[self.kind]).build(SIDS)) if self.kind in DECODED else super().generator()
