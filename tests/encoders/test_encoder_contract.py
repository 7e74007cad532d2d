"""What every encoder of conf/encoder promises; a new yaml is tested the moment it exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from genrec.components import instantiate
from genrec.config import conf_folder
from genrec.dataset import Sequences
from genrec.protocols import ItemEncoder

PRESETS = sorted((conf_folder() / "encoder").glob("*.yaml"))


def completed(node: Any, external: dict[str, Any]) -> Any:
    if not isinstance(node, dict):
        return node
    whole = {key: completed(value, external) for key, value in node.items()}
    return whole | external.get(str(node.get("_target_", "")).rpartition(".")[2], {})


@pytest.fixture(params=PRESETS, ids=lambda path: path.stem)
def node(request: pytest.FixtureRequest, external: dict[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = completed(yaml.safe_load(request.param.read_text(encoding="utf-8")), external)
    return whole


def fitted(node: dict[str, Any], items: pl.DataFrame, train: Sequences) -> ItemEncoder:
    encoder: ItemEncoder = instantiate(node, "encoder")
    encoder.fit(items, train)
    return encoder


def new_items() -> pl.DataFrame:
    content = {"title": ["red unheard soap"], "brand": [None], "categories": [["Beauty", "soap"]], "image": ["7.png"]}
    return pl.DataFrame({"item_id": ["newcomer"], **content}, schema_overrides={"brand": pl.String})


def test_vectors_are_finite_float32_one_row_an_item(node: dict[str, Any], items: pl.DataFrame, train: Sequences) -> None:
    encoder = fitted(node, items, train)
    vectors, present = encoder.encode(items), encoder.present(items)
    assert vectors.shape[0] == items.height == len(present)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert present.dtype == bool
    assert len(np.unique(vectors.round(6), axis=0)) > items.height // 2  # not one vector for all


def test_same_input_same_vectors(node: dict[str, Any], items: pl.DataFrame, train: Sequences) -> None:
    first, second = fitted(node, items, train), fitted(node, items, train)
    np.testing.assert_array_equal(first.encode(items), second.encode(items))


def test_restored_encoder_is_equal(node: dict[str, Any], items: pl.DataFrame, train: Sequences, tmp_path: Path) -> None:
    encoder = fitted(node, items, train)
    folder = tmp_path / "fitted"
    folder.mkdir()
    encoder.save(folder)
    assert not list(folder.rglob("*.pkl"))
    again: ItemEncoder = instantiate(node, "encoder")
    again.restore(folder)
    both = pl.concat([items, new_items()])
    np.testing.assert_array_equal(encoder.encode(both), again.encode(both))
    np.testing.assert_array_equal(encoder.present(both), again.present(both))


def test_new_item_is_encoded_alone_as_among_others(node: dict[str, Any], items: pl.DataFrame, train: Sequences) -> None:
    encoder = fitted(node, items, train)
    alone = encoder.encode(new_items())
    among = encoder.encode(pl.concat([items, new_items()]))
    assert np.isfinite(alone).all()
    np.testing.assert_allclose(alone[0], among[-1], atol=1e-5)
    np.testing.assert_allclose(among[:-1], encoder.encode(items), atol=1e-5)


def test_row_order_of_the_catalogue_does_not_matter(node: dict[str, Any], items: pl.DataFrame, train: Sequences) -> None:
    order = np.random.default_rng(5).permutation(items.height)
    shuffled = items[order.tolist()]
    new_row = np.argsort(order)
    relabelled = Sequences(new_row[train.item_idx].astype(np.int32), train.offsets)
    vectors, moved = fitted(node, items, train).encode(items), fitted(node, shuffled, relabelled).encode(shuffled)
    # Signs of components are free where the largest entries tie: compare what distances see.
    np.testing.assert_allclose(moved @ moved.T, (vectors @ vectors.T)[order][:, order], atol=2e-3)
