"""The generator through onnxruntime: the lists of ``examples/onnx_decoding.py`` are ours, without PyTorch and genrec."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import jaxtyping
import numpy as np
import onnxruntime
import pytest
import torch
from small_bundle import GENERATORS, TINY
from small_world import SMALL, random_histories, sequences_of, sids_of

import genrec
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.batch_decoding import recommend_users
from genrec.decoding.trie_beam import TrieBeam
from genrec.generators.encdec import EncDec
from genrec.recommender.onnx_graphs import write_onnx

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "onnx_decoding.py"
K, BEAMS = 10, 20
pytestmark = pytest.mark.usefixtures("symbolic_shapes")
WITHOUT = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert not {"torch", "genrec", "polars"} & set(sys.modules)
"""


@pytest.fixture
def symbolic_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under torch's exporter sizes are symbols, which no annotation of ours describes."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def encdec_of(sids: SIDTable) -> EncDec:
    """Weights that were never trained, and say something all the same."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {**SMALL, "num_history_layers": 1, "num_decoder_layers": 1}
    kept = ("dim", "num_heads", "num_history_layers", "num_decoder_layers", "feedforward_mult", "dropout", "max_history_len")
    counts = np.arange(sids.num_items)
    encdec = EncDec(sids=sids, train_counts=counts, identity=True, item_head=True, **{name: settings[name] for name in kept})
    for weights in encdec.parameters():
        torch.nn.init.normal_(weights, std=0.4)
    return encdec.eval()


def bundle_of(folder: Path, generator: EncDec, trie: PrefixTrie, *, exclude_seen: bool) -> Path:
    """What the example reads of a bundle."""
    write_onnx(generator, trie, folder / "onnx")
    facts = {"max_history_len": generator.max_history_len, "normalization": generator.normalization}
    (folder / "bundle.json").write_text(
        json.dumps({"facts": {"generator": facts}, "exclude_seen": exclude_seen}), encoding="utf-8"
    )
    (folder / "sids").mkdir()
    lines = [json.dumps({"item_id": f"i{item}"}) for item in range(trie.num_items)]
    (folder / "sids" / "sids.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


class _AsGiven:
    """In place of a session: the module that was to become a graph, as it is."""

    graphs: ClassVar[dict[str, tuple[torch.nn.Module, list[str]]]] = {}

    def __init__(self, file: str, options: Any, providers: Any) -> None:
        self.module, self.names = self.graphs[file]

    @classmethod
    def export(cls, module: torch.nn.Module, example: Any, file: Path, *, output_names: list[str], **_: Any) -> None:
        cls.graphs[str(file)] = (module, output_names)

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self.names]

    @torch.no_grad()
    def run(self, names: list[str] | None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = dict(zip(self.names, self.module(*map(torch.from_numpy, feeds.values())), strict=True))
        return [found[name].numpy() for name in names or self.names]


@pytest.mark.parametrize("runtime", ["none", pytest.param("onnxruntime", marks=pytest.mark.slow)])
def test_the_lists_are_ours(runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items that share an ID; histories that are empty, longer than the model reads, and of those who have seen nearly all."""
    if runtime == "none":  # torch's exporter takes long
        monkeypatch.setattr(torch.onnx, "export", _AsGiven.export)
        monkeypatch.setattr(onnxruntime, "InferenceSession", _AsGiven)
    sids = sids_of(60, (4, 5, 3), distinct=False)
    generator, trie = encdec_of(sids), PrefixTrie.build(sids)
    rows = [*random_histories(60, [0, 1, 2, 5, 6, 9, 30] * 4), list(range(55)), [1, 1, 1]]
    bundle = bundle_of(tmp_path, generator, trie, exclude_seen=True)
    asked = [[f"i{item}" for item in row] for row in rows]
    theirs = runpy.run_path(str(EXAMPLE))["OnnxRecommender"](bundle).recommend(asked, K, num_beams=BEAMS)

    users = np.arange(len(rows))
    strategy = TrieBeam(num_beams=BEAMS)
    table = recommend_users(generator, strategy, trie, sequences_of(rows), users, k=K, exclude_seen=True, batch_size=len(rows))
    for user in users:
        ours = table.filter((table["user_idx"] == user) & (table["rank"] <= K))
        assert [item_id for item_id, _ in theirs[user]] == [f"i{item}" for item in ours["item_idx"]]
        assert np.allclose([score for _, score in theirs[user]], ours["score"], rtol=0, atol=1e-4)
    assert len(theirs[-2]) == 5, "what is left of the catalogue"

    if runtime == "onnxruntime":
        words = [sys.executable, "-c", WITHOUT, str(EXAMPLE), str(bundle), "i3", "nothing"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert len(done.stdout.splitlines()) == K


@pytest.mark.slow
def test_an_exported_bundle_agrees(tmp_path: Path) -> None:
    """All of it, as on the command line: `genrec export export.runtime=onnx`, then tools/compare_onnx_lists.py."""
    settings = [
        *(*TINY, *GENERATORS["encdec"], f"paths.runs={tmp_path}", "name=onnx", "export.runtime=onnx"),
        *("decoding.num_beams=20", "recommend.k=10"),
    ]
    bundle = genrec.run(until="export", quiet=True, overrides=settings).path / "bundle"
    ids = genrec.load(bundle).items["item_id"].to_list()
    histories = [[ids[item] for item in row] for row in random_histories(80, [0, 3, 7, 20] * 25)]
    agreement = runpy.run_path(str(ROOT / "tools" / "compare_onnx_lists.py"))["compared"](bundle, histories)
    assert agreement["agree"] == agreement["users"] == 100
    assert agreement["same_items"] > 95
