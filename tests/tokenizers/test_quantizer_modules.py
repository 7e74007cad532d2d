"""The tokenizers on vector-quantize-pytorch: the codes are the package's, and only training moves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_codes import clustered, make_inputs

from genrec.tokenizers.lib.quantizer_module import ModuleAutoencoder, first_of_equals
from genrec.tokenizers.lib.residual import decode
from genrec.tokenizers.residual_fsq import ResidualFSQ
from genrec.tokenizers.residual_lfq import ResidualLFQ
from genrec.tokenizers.residual_sim_vq import ResidualSimVQ
from genrec.tokenizers.residual_vq import ResidualVQ

FEW: dict[str, Any] = {"hidden": [32], "steps": 40, "batch_size": 128}
SMALL: dict[str, Any] = {**FEW, "codebook_size": 16, "latent_dim": 12}
INPUTS = make_inputs(clustered(300))


def small_family() -> dict[str, ModuleAutoencoder]:
    return {
        "residual_vq": ResidualVQ(**SMALL),
        "grouped_residual_vq": ResidualVQ(**SMALL, groups=2, num_levels=4),
        "residual_fsq": ResidualFSQ(**FEW, grid=(4, 3), num_levels=3),
        "residual_lfq": ResidualLFQ(**FEW, num_bits=4, num_levels=3),
        "residual_sim_vq": ResidualSimVQ(**SMALL),
    }


@pytest.fixture(scope="module")
def fitted() -> dict[str, ModuleAutoencoder]:
    family = small_family()
    for tokenizer in family.values():
        tokenizer.fit(INPUTS)
    return family


each = pytest.mark.parametrize("name", small_family())


@each
def test_codes_stand_for_what_the_package_says(fitted: dict[str, ModuleAutoencoder], name: str) -> None:
    tokenizer = fitted[name]
    latent = tokenizer._latent_of(INPUTS)
    tokenizer._module.eval()
    with torch.no_grad():
        quantized, indices, *_ = tokenizer._module(latent[None])
        output = tokenizer._module.get_output_from_indices(indices)
    codes = torch.from_numpy(tokenizer.encode(INPUTS))
    torch.testing.assert_close(decode(codes, tokenizer.codebooks), output[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(quantized, output, atol=1e-5, rtol=1e-5)


@each
def test_encoding_moves_nothing(fitted: dict[str, ModuleAutoencoder], name: str) -> None:
    tokenizer = fitted[name]
    before = {key: value.clone() for key, value in tokenizer._module.state_dict().items()}
    others = make_inputs(clustered(200, seed=5))
    first = tokenizer.encode(others)
    np.testing.assert_array_equal(tokenizer.encode(others), first)
    after = tokenizer._module.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@each
def test_a_fitted_one_is_saved_without_pickle_and_goes_on_as_it_was(
    fitted: dict[str, ModuleAutoencoder], name: str, tmp_path: Path
) -> None:
    fitted[name].save(tmp_path)
    assert {file.suffix for file in tmp_path.iterdir()} == {".safetensors"}
    again = small_family()[name]
    again.restore(tmp_path)
    state = again._module.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in fitted[name]._module.state_dict().items())


def test_fitting_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    ResidualVQ(**SMALL | {"steps": 2}).fit(INPUTS)
    assert torch.equal(torch.rand(3), expected)


def test_codes_are_drawn_anew_while_they_can_still_be_trained(fitted: dict[str, ModuleAutoencoder]) -> None:
    """At the start too: no code is left at zero, where the package's k-means puts the mean of an empty cluster."""
    assert ResidualVQ(**SMALL, dead_share=0.5)._make_module().layers[0]._codebook.threshold_ema_dead_code == 4  # of 128 / 16
    for name in ("residual_vq", "grouped_residual_vq"):
        for chain in fitted[name]._chains():  # type: ignore[attr-defined]
            assert all(level._codebook.threshold_ema_dead_code == 0 for level in chain.layers)
            assert (chain.codebooks.norm(dim=-1) > 1e-3).all()


def test_groups_have_dimensions_of_their_own_and_coarse_levels_stand_first(fitted: dict[str, ModuleAutoencoder]) -> None:
    codebooks = fitted["grouped_residual_vq"].codebooks
    used = [codebook.any(0).nonzero().squeeze(1).tolist() for codebook in codebooks]
    assert used == [[*range(6)], [*range(6, 12)]] * 2
    assert codebooks[0].norm() > codebooks[2].norm()
    assert codebooks[1].norm() > codebooks[3].norm()


def test_equal_codes_are_the_first_of_them() -> None:
    codebook = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1e-7], [0.0, 2.0], [1.0, 0.1]])
    assert first_of_equals(codebook).tolist() == [0, 1, 0, 1, 4]
    assert first_of_equals(torch.zeros(3, 2)).tolist() == [0, 0, 0]
