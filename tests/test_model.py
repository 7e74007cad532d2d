"""A trained model: what is saved is opened again, later items get rows of zeros, and new items get their reserved slots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from small_world import OPTIONS, ring, sids_of

from genrec.core.dataset import Dataset
from genrec.core.sids import SIDTable
from genrec.decoding.new_item_quota import NewItemQuota
from genrec.decoding.trie_beam import TrieBeam
from genrec.errors import ArtifactError
from genrec.model.item_vectors import read_vectors, write_vectors
from genrec.model.trained import Model, ReservedSlots, count_trained, open_strategy, save_with_later_items

OPTION = next(option for option in OPTIONS if option.id == "encdec-hybrid")
WORLD: Dataset = ring(num_items=30, num_users=30, max_len=8)
SIDS = sids_of(30, (4, 5, 6))
VECTORS = {"item": np.random.default_rng(0).normal(size=(30, 7)).astype(np.float32)}


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Path]:
    """An untrained model on disk, as the train stage writes it."""
    folders = {kind: tmp_path / kind for kind in ("generator", "sids", "encoder")}
    for folder in folders.values():
        folder.mkdir()
    SIDS.save(folders["sids"], WORLD.item_ids)
    write_vectors(folders["encoder"], VECTORS)
    facts = {"sids_layout": SIDS.layout, "num_items": WORLD.num_items}
    Model.new(OPTION.node(), folders, WORLD).save(folders["generator"], facts)
    return folders


def grown_ids(later: int) -> SIDTable:
    random = np.random.default_rng(1)
    return SIDS.with_items(np.stack([random.integers(0, size, later) for size in SIDS.sizes], axis=1).astype(np.int32))


def test_what_is_saved_is_opened(parts: dict[str, Path]) -> None:
    opened, again = Model.open(parts), Model.open(parts)
    weights: dict[str, Any] = opened.generator.state_dict()
    assert all(torch.equal(weight, again.generator.state_dict()[name]) for name, weight in weights.items())
    assert not opened.generator.training
    assert (opened.num_trained, opened.num_opened, opened.strategy) == (30, 30, None)
    np.testing.assert_array_equal(opened.vectors["item"], VECTORS["item"])
    np.testing.assert_array_equal(read_vectors(parts["encoder"])["item"], VECTORS["item"])


def test_weights_of_another_size_are_refused(parts: dict[str, Path]) -> None:
    save_file({"other": np.zeros(3, dtype=np.float32)}, parts["generator"] / "model.safetensors")
    with pytest.raises(ArtifactError, match="those of another version"):
        Model.open(parts)


def test_later_items_get_rows_of_zeros_and_share_the_rest(parts: dict[str, Path]) -> None:
    model = Model.open(parts)
    rows = model.generator.item_rows
    vectors = {"item": np.concatenate([VECTORS["item"], np.ones((4, 7), dtype=np.float32)])}
    grown = model.grow(grown_ids(4), vectors)
    before, after = model.generator.state_dict(), grown.generator.state_dict()
    assert rows
    for name, weight in before.items():
        if name in rows:
            assert torch.equal(after[name][: len(weight)], weight)
            assert len(after[name]) == len(weight) + 4
            assert not after[name][len(weight) :].any()
        else:
            assert after[name].data_ptr() == weight.data_ptr(), f"{name} was copied"
    assert (grown.num_trained, grown.sids.num_items, grown.trie.num_items) == (30, 34, 34)  # type: ignore[union-attr]
    assert model.sids is not None
    assert model.sids.num_items == 30, "the model itself is never changed"


def test_slots_are_reserved_once_there_are_new_items(parts: dict[str, Path]) -> None:
    strategy = open_strategy({"_target_": "genrec.decoding.trie_beam.TrieBeam", "num_beams": 5})
    model = Model.open(parts, strategy=strategy).with_slots(0.2, {"item": 0.3})
    assert isinstance(model.strategy, TrieBeam)
    vectors = {"item": np.concatenate([VECTORS["item"], np.ones((4, 7), dtype=np.float32)])}
    grown = model.grow(grown_ids(4), vectors)
    assert isinstance(grown.strategy, NewItemQuota)
    assert (grown.strategy.num_trained, grown.strategy.share, grown.strategy.reach) == (30, 0.2, 0.3)
    assert isinstance(replace(model, slots=ReservedSlots(0.0, {})).grow(grown_ids(4), vectors).strategy, TrieBeam)
    changed = grown.with_vectors({"item": vectors["item"] + 1})
    assert isinstance(changed.strategy, NewItemQuota)
    assert not torch.equal(changed.strategy.vectors, grown.strategy.vectors)
    assert changed.generator is grown.generator


def test_an_extended_generator_says_how_many_items_it_was_trained_with() -> None:
    assert count_trained({"num_items": 9, "num_trained": 7}) == 7
    assert count_trained({"num_items": 9}) == 9


def test_a_generator_with_later_items_keeps_its_schema(parts: dict[str, Path], tmp_path: Path) -> None:
    world = replace(WORLD, schema=WORLD.schema.with_text(5))
    (folder := tmp_path / "hears").mkdir()
    facts = {"sids_layout": SIDS.layout, "num_items": WORLD.num_items}
    Model.new(OPTION.node(), parts, world).save(folder, facts)
    (later := tmp_path / "later").mkdir()
    save_with_later_items(later, folder, node=OPTION.node(), facts=facts, later=0)
    assert Model.open({**parts, "generator": later}).schema == world.schema
