"""A bundle laid out for the Hugging Face hub: what the hub looks for stands at the top, and it opens as any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open

import genrec

TINY = [
    *("data=demo", "data.num_users=150", "data.num_items=80", "data.events_per_user=6.0", "tokenizer.codebook_size=8"),
    *("train.epochs=1", "train.num_validations=1", "device=cpu", "generator.dim=16", "generator.num_heads=2"),
    *("generator.num_history_layers=1", "generator.num_decoder_layers=1"),
]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of one trained generator: in folders, and for the hub."""
    settings = [*TINY, f"paths.runs={tmp_path_factory.mktemp('runs')}"]
    folders, hub = (
        genrec.run(until="export", quiet=True, overrides=[*settings, f"name={name}", *more]).path / "bundle"
        for name, more in (("folders", []), ("hub", ["export.hub=true", "export.license=apache-2.0"]))
    )
    return folders, hub


def test_what_the_hub_reads(bundles: tuple[Path, Path]) -> None:
    _, hub = bundles
    config = json.loads((hub / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "genrec"
    assert config["architectures"] == ["EncDec"]
    with safe_open(hub / "model.safetensors", framework="np") as weights:
        learned = [name for name in weights.keys() if not name.endswith("gate")]  # noqa: SIM118  no mapping
        assert sum(weights.get_tensor(name).size for name in learned) == config["num_weights"]
    _, front, _ = (hub / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "genrec"
    assert not (hub / "generator").exists()


def test_it_answers_as_the_other_does(bundles: tuple[Path, Path]) -> None:
    ours, hub = (genrec.load(bundle) for bundle in bundles)
    histories = [ours.items["item_id"].to_list()[start : start + 4] for start in range(0, 80, 4)]
    assert hub.recommend(histories).equals(ours.recommend(histories))


def test_it_takes_in_new_items(bundles: tuple[Path, Path]) -> None:
    hub = genrec.load(bundles[1])
    hub.add_items([{"item_id": "late", "title": "a late one"}])
    assert hub.recommend(["late"], filter='title == "a late one"', k=1, exclude_seen=False)["item_id"].to_list() == ["late"]
