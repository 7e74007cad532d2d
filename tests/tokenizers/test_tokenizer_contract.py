"""What every tokenizer of conf/tokenizer promises; a new yaml is tested the moment it exists."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small_codes import clustered, make_inputs

from genrec.components import component_class, instantiate, parameters
from genrec.config import conf_folder
from genrec.errors import DataError
from genrec.protocols import ItemTokenizer, TokenizerInputs

PRESETS = sorted((conf_folder() / "tokenizer").glob("*.yaml"))
SMALL = {"codebook_size": 16, "steps": 120, "batch_size": 128, "hidden": [32], "latent_dim": 12, "seed": 0}


@pytest.fixture(params=PRESETS, ids=lambda path: path.stem)
def node(request: pytest.FixtureRequest) -> dict[str, Any]:
    whole: dict[str, Any] = yaml.safe_load(request.param.read_text())
    known = parameters(component_class(whole))
    return whole | {key: value for key, value in SMALL.items() if key in known}


def fitted(node: dict[str, Any], inputs: TokenizerInputs) -> ItemTokenizer:
    tokenizer: ItemTokenizer = instantiate(node, "tokenizer")
    tokenizer.fit(inputs)
    return tokenizer


def test_codes_are_in_range_and_the_seed_decides(node: dict[str, Any]) -> None:
    inputs = make_inputs(clustered(300))
    tokenizer = fitted(node, inputs)
    codes = np.asarray(tokenizer.encode(inputs))
    assert codes.shape == (300, len(tokenizer.sizes))
    assert (codes >= 0).all()
    assert (codes < np.array(tokenizer.sizes)).all()
    assert len(np.unique(codes, axis=0)) > 100  # not collapsed
    np.testing.assert_array_equal(codes, fitted(node, inputs).encode(inputs))


def test_restored_tokenizer_is_equal(node: dict[str, Any], tmp_path: Path) -> None:
    inputs, new = make_inputs(clustered(200)), make_inputs(clustered(50, seed=7))
    tokenizer = fitted(node, inputs)
    tokenizer.save(tmp_path)
    again: ItemTokenizer = instantiate(node, "tokenizer")
    again.restore(tmp_path)
    for some in (inputs, new):
        codes = tokenizer.encode(some)
        np.testing.assert_array_equal(codes, again.encode(some))
        if tokenizer.traits.reconstructs:
            np.testing.assert_array_equal(tokenizer.reconstruct(codes), again.reconstruct(codes))  # type: ignore[attr-defined]


def test_row_by_row_equals_all_at_once(node: dict[str, Any]) -> None:
    vectors = clustered(200)
    vectors[50:60] = vectors[0]  # exact ties
    tokenizer = fitted(node, make_inputs(vectors))
    if not tokenizer.traits.inductive:
        pytest.skip("not promised")
    together = tokenizer.encode(make_inputs(vectors))
    alone = np.concatenate([tokenizer.encode(make_inputs(vectors[i : i + 1])) for i in range(200)])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(tokenizer.encode(make_inputs(vectors[::-1])), together[::-1])


def test_reconstruction_improves_with_every_level(node: dict[str, Any]) -> None:
    vectors = clustered(400)
    tokenizer = fitted(node, make_inputs(vectors))
    if not tokenizer.traits.reconstructs:
        pytest.skip("not promised")
    codes = tokenizer.encode(make_inputs(vectors))
    errors = [
        np.square(vectors - tokenizer.reconstruct(codes[:, :depth])).sum()  # type: ignore[attr-defined]
        for depth in range(1, len(tokenizer.sizes) + 1)
    ]
    assert all(later < earlier for earlier, later in pairwise(errors))
    assert errors[0] < np.square(vectors - vectors.mean(axis=0)).sum()


def test_level_costs_point_at_the_codes(node: dict[str, Any]) -> None:
    inputs = make_inputs(clustered(200))
    tokenizer = fitted(node, inputs)
    if not hasattr(tokenizer, "level_costs"):
        pytest.skip("not offered")
    codes = np.asarray(tokenizer.encode(inputs))
    for level, size in enumerate(tokenizer.sizes):
        costs = tokenizer.level_costs(inputs, codes[:, :level])
        assert costs.shape == (200, size)
        chosen = costs[np.arange(200), codes[:, level]]
        np.testing.assert_allclose(chosen, costs.min(axis=1), atol=1e-4)


@pytest.mark.parametrize(
    "vectors",
    [
        pytest.param(clustered(1), id="one item"),
        pytest.param(clustered(5), id="fewer items than codes"),
        pytest.param(np.repeat(clustered(3), 20, axis=0), id="duplicates"),
        pytest.param(np.full((40, 4), 0.1), id="constant"),
        pytest.param(np.zeros((40, 4)), id="zero"),
    ],
)
def test_degenerate_catalogues_work(node: dict[str, Any], vectors: np.ndarray) -> None:
    inputs = make_inputs(vectors)
    tokenizer = fitted(node, inputs)
    codes = np.asarray(tokenizer.encode(inputs))
    for same in np.unique(vectors, axis=0):
        assert len(np.unique(codes[(vectors == same).all(axis=1)], axis=0)) == 1
    if tokenizer.traits.reconstructs:
        assert np.isfinite(tokenizer.reconstruct(codes)).all()  # type: ignore[attr-defined]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_non_finite_vectors_are_an_error(node: dict[str, Any], wrong: float) -> None:
    vectors = clustered(30)
    tokenizer = fitted(node, make_inputs(vectors))
    vectors[7, 2] = wrong
    for use in (tokenizer.fit, tokenizer.encode):
        with pytest.raises(DataError, match=f"item-0007, dimension 2.*{wrong}"):
            use(make_inputs(vectors))


def test_scale_of_the_input_does_not_change_health(node: dict[str, Any]) -> None:
    """Repeating every dimension must not change how many codes are used (mean/sum scale)."""
    vectors = clustered(300)
    used = []
    for some in (vectors, np.tile(vectors, 4)):
        codes = np.asarray(fitted(node, make_inputs(some)).encode(make_inputs(some)))
        used.append(len(np.unique(codes, axis=0)))
    assert min(used) > 0.6 * max(used)
