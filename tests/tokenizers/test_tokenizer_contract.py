"""What every tokenizer of conf/tokenizer promises; a new yaml is tested the moment it exists."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from small_codes import clustered, make_inputs

from genrec.core.sids import SIDTable
from genrec.engine.components import component_class, instantiate, parameters
from genrec.engine.config import conf_folder
from genrec.testing import TokenizerContract
from genrec.testing.worlds import Maker
from genrec.tokenizers.rq_kmeans import RQKMeans

PRESETS = sorted((conf_folder() / "tokenizer").glob("*.yaml"))
# Every key that a tokenizer may have and that decides its cost or its number of codes.
SMALL = {
    "codebook_size": 16,
    "num_bits": 4,
    "leaf_size": 16,
    "steps": 100,
    "graph_steps": 20,
    "batch_size": 128,
    "hidden": [32],
    "latent_dim": 12,
    "streams": ["collaborative"],
    "seed": 0,
}


@pytest.fixture(scope="session")
def codes_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a tokenizer that takes its codes from a file is given."""
    file = tmp_path_factory.mktemp("published") / "codes.json"
    file.write_text(json.dumps({f"item-{i:04}": [i // 16 % 16, i % 16] for i in range(1000)}), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="session")
def anchor_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """IDs of an earlier run, for a tokenizer that starts from them: three levels, one for every item of these tests."""
    folder = tmp_path_factory.mktemp("anchor")
    inputs = make_inputs(clustered(1000))
    tokenizer = RQKMeans(codebook_size=16)
    tokenizer.fit(inputs)
    SIDTable(tokenizer.encode(inputs), tokenizer.sizes).save(folder, inputs.items["item_id"])
    return str(folder)


class TestEveryTokenizer(TokenizerContract):
    @pytest.fixture(params=PRESETS, ids=lambda path: path.stem)
    def make(self, request: pytest.FixtureRequest, codes_file: str, anchor_file: str) -> Maker:
        whole: dict[str, Any] = yaml.safe_load(request.param.read_text(encoding="utf-8"))
        known = parameters(component_class(whole))
        given = {**SMALL, "path": codes_file, "anchor": anchor_file}
        given |= {"num_levels": 4} if request.param.stem == "mpq" else {}  # some catalogues here have four dimensions
        node = whole | {key: value for key, value in given.items() if key in known}
        return Maker(json.dumps(node), lambda: instantiate(node, "tokenizer"))
