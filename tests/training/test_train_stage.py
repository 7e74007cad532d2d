"""The train stage's files, and starting from another run's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from small_world import OPTIONS, Option, ring, sids_of

from genrec.engine.artifacts import Artifact
from genrec.engine.stage import Runtime, StageContext
from genrec.errors import ArtifactError
from genrec.model.trained import Model
from genrec.stages.train import SEEN_RULE, STAGE

HYBRID, SASREC = (next(option for option in OPTIONS if option.id == name) for name in ("encdec-hybrid", "sasrec"))
WORLD, SIDS = ring(num_items=30, num_users=30, max_len=8), sids_of(30, (4, 5, 6))
VECTORS = np.random.default_rng(0).normal(size=(30, 7)).astype(np.float32)


def train(root: Path, name: str, option: Option, **settings: Any) -> Path:
    """Runs the stage; returns the folder it wrote."""
    folders = {kind: root / kind for kind in ("dataset", "sids", "encoder/vectors", name, f"{name}.work")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    WORLD.save(folders["dataset"])
    SIDS.save(folders["sids"], WORLD.item_ids)
    save_file({"vectors": VECTORS}, folders["encoder/vectors"] / "item.safetensors")
    small = {"epochs": 1, "batch_states": 100, "num_validations": 1, "validation_users": 5, "init_from": None}
    objective = option.tree["objective"] | ({"item_weight": 1.0} if option.label == "hybrid" else {})
    config = {"generator": option.node(), "objective": objective, "train": option.tree["train"] | small | settings}
    config[SEEN_RULE] = True
    inputs = {kind: Artifact(root / kind) for kind in STAGE.inputs(config)}
    runtime = Runtime(device="cpu", progress=False)
    facts = STAGE.build(StageContext(config, inputs, folders[name], folders[f"{name}.work"], lambda line: None, runtime))
    assert json.loads((folders[name] / "config.json").read_text(encoding="utf-8")) == {
        "generator": config["generator"],
        **facts,
    }
    return folders[name]


def weights(folder: Path, option: Option = HYBRID) -> dict[str, torch.Tensor]:
    parts = {"generator": folder, "sids": folder.parent / "sids"}
    if "sids" not in STAGE.inputs({"generator": option.node()}):
        del parts["sids"]
    return dict(Model.open(parts).generator.state_dict())


def test_warm_start(tmp_path: Path) -> None:
    first = train(tmp_path, "first", HYBRID)
    assert sorted(path.name for path in first.iterdir()) == ["config.json", "history.json", "model.safetensors"]
    facts = json.loads((first / "config.json").read_text(encoding="utf-8"))
    assert facts["sids_layout"] == SIDS.layout
    assert facts["targets_per_epoch"] == len(WORLD.train.item_idx)

    warm = train(tmp_path, "warm", HYBRID, init_from=str(first), lr=0.0, seed=7)
    cold = train(tmp_path, "cold", HYBRID, lr=0.0, seed=7)
    before, after, other = weights(first), weights(warm), weights(cold)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not all(torch.equal(before[name], other[name]) for name in before)


def test_starting_from_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        train(tmp_path, "none", HYBRID, init_from=str(tmp_path))
    other = train(tmp_path, "other", SASREC)
    with pytest.raises(ArtifactError, match=r"train\.init_from: expected weights of EncDec"):
        train(tmp_path, "misfit", HYBRID, init_from=str(other))


def test_a_generator_belongs_to_a_layout(tmp_path: Path) -> None:
    folder = train(tmp_path, "first", HYBRID)
    other = sids_of(30, (4, 5, 7))
    (tmp_path / "other").mkdir()
    other.save(tmp_path / "other", WORLD.item_ids)
    with pytest.raises(ArtifactError) as caught:
        Model.open({"generator": folder, "sids": tmp_path / "other"})
    assert SIDS.layout in str(caught.value)
    assert other.layout in str(caught.value)


def test_an_item_scorer_needs_no_sids(tmp_path: Path) -> None:
    assert STAGE.inputs({"generator": SASREC.node()}) == ("dataset",)
    assert set(weights(train(tmp_path, "first", SASREC), SASREC)) >= {"items.weight", "start"}


def test_item_vectors_are_the_encoders_and_no_weights(tmp_path: Path) -> None:
    option = next(option for option in OPTIONS if option.id == "hybrid_attention")
    assert set(STAGE.inputs({"generator": option.node()})) == {"dataset", "sids", "encoder"}
    train(tmp_path, "first", option)
    opened = Model.open({"generator": tmp_path / "first", "sids": tmp_path / "sids", "encoder": tmp_path / "encoder"}).generator
    assert torch.equal(opened.item_vectors, torch.from_numpy(VECTORS))
    assert "item_vectors" not in opened.state_dict()
