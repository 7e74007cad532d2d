"""embed -> tokenize -> assign on a small catalogue, without the store."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from safetensors.numpy import load_file

from genrec.core.dataset import Dataset, Sequences
from genrec.core.sids import SIDTable
from genrec.engine.config import conf_folder
from genrec.engine.stage import Runtime, Stage, StageContext
from genrec.stages import assign, embed, tokenize


def preset(group: str, name: str, **changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = yaml.safe_load((conf_folder() / group / f"{name}.yaml").read_text(encoding="utf-8"))
    return whole | changes


def perform(stage: Stage, config: dict[str, Any], made: dict[str, Any], root: Path) -> list[str]:
    """Runs a stage on what was made before; returns what it said."""
    folder, said = root / stage.kind, []
    folder.mkdir()
    inputs = {kind: made[kind] for kind in stage.inputs(config)}
    read = {key: config[key] for key in stage.reads}
    facts = stage.build(StageContext(read, inputs, folder, root / "work", said.append, Runtime()))
    made[stage.kind] = SimpleNamespace(path=folder, facts=json.loads(json.dumps(facts)), config=read)
    return said


@pytest.mark.parametrize("collision", ["append_level", "reassign_last", "keep"])
def test_from_a_dataset_to_semantic_ids(collision: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    titles = [f"word{i % 7} thing{i % 5}" for i in range(70)]  # 35 titles, each twice
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(70)], "title": titles})
    users = pl.DataFrame({"user_id": [f"u{u}" for u in range(50)]})
    offsets = np.arange(51) * 6
    events = Sequences(random.integers(0, 70, 300).astype(np.int32), offsets)
    (tmp_path / "dataset").mkdir()
    Dataset(items, users, events, offsets[1:] - 2, offsets[1:] - 1).save(tmp_path / "dataset")
    made: dict[str, Any] = {"dataset": SimpleNamespace(path=tmp_path / "dataset")}
    config = {
        "encoder": preset("encoder", "tfidf_collaborative"),
        "tokenizer": preset("tokenizer", "rq_kmeans", codebook_size=6, num_levels=2, seed=0),
        "collision": preset("collision", collision),
    }

    said = perform(embed.STAGE, config, made, tmp_path)
    assert any(line.endswith("text: text columns: title") for line in said)
    assert sorted(path.name for path in (tmp_path / "encoder/vectors").iterdir()) == [
        "collaborative.safetensors",
        "item.safetensors",
        "text.safetensors",
    ]
    joint = load_file(tmp_path / "encoder/vectors/item.safetensors")["vectors"]
    assert joint.shape == (70, made["encoder"].facts["dims"]["item"])

    if collision == "reassign_last":  # 36 IDs would not do for 70 items
        config["tokenizer"]["codebook_size"] = 12
    perform(tokenize.STAGE, config, made, tmp_path)
    codes = np.load(tmp_path / "tokenizer/codes.npy", allow_pickle=False)
    figures = json.loads((tmp_path / "tokenizer/health.json").read_text(encoding="utf-8"))
    assert codes.shape == (70, 2)
    assert [level["size"] for level in figures["levels"]] == made["tokenizer"].facts["sizes"]
    assert figures["prefixes"][1]["relative_error"] < figures["prefixes"][0]["relative_error"] < 1
    assert len(made["tokenizer"].facts["codebooks"]) == 16

    said = perform(assign.STAGE, config, made, tmp_path)
    table, facts = SIDTable.load(tmp_path / "sids"), made["sids"].facts
    assert table.codebooks == made["tokenizer"].facts["codebooks"]
    assert facts["table"] == table.table
    assert facts["unique_rate"] == table.unique_rate() == (facts["unique_rate_before"] if collision == "keep" else 1.0)
    sizes = Counter(map(tuple, codes.tolist())).values()
    assert facts["collision_groups_before"] == sum(size > 1 for size in sizes) > 0
    assert facts["collision_items_before"] == sum(size for size in sizes if size > 1)
    assert facts["collision_largest_before"] == max(sizes)
    assert facts["collision_groups"] == (facts["collision_groups_before"] if collision == "keep" else 0)
    assert (facts["moved_rate"] > 0) == (collision == "reassign_last")
    assert len(said) == 1


def test_stages_ask_for_the_encoder_when_the_tokenizer_does() -> None:
    config = {"tokenizer": preset("tokenizer", "rq_kmeans")}
    assert tokenize.STAGE.inputs(config) == ("dataset", "encoder")
    assert assign.STAGE.inputs(config) == ("dataset", "tokenizer", "encoder")
