"""What the tokenizers on an autoencoder promise beyond the contract of all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_codes import clustered, make_inputs

from genrec.tokenizers.fsq import FSQ
from genrec.tokenizers.lc_rec import LCRec
from genrec.tokenizers.letter import Letter
from genrec.tokenizers.lib.autoencoder import Autoencoder, rotation_trick
from genrec.tokenizers.lib.kmeans import even_codes
from genrec.tokenizers.rqvae import RQVAE
from genrec.tokenizers.sim_vq import SimVQ

FEW: dict[str, Any] = {"hidden": [32], "steps": 60, "batch_size": 128}
SMALL: dict[str, Any] = {**FEW, "num_levels": 2, "codebook_size": 16, "latent_dim": 12}


def small_family() -> list[Autoencoder]:
    return [RQVAE(**SMALL), SimVQ(**SMALL), LCRec(**SMALL), Letter(**SMALL), FSQ(**FEW, grid=(4, 4))]


@pytest.mark.parametrize("tokenizer", small_family(), ids=lambda tokenizer: type(tokenizer).__name__)
def test_width_of_the_input_does_not_collapse_the_codes(tokenizer: Autoencoder) -> None:
    """The loss-scale trap: beside a mean over 768 dimensions, a sum over the bottleneck's puts all items on one code."""
    inputs = make_inputs(clustered(300))
    inputs = replace(inputs, embeddings={**inputs.embeddings, "item": np.tile(inputs.embeddings["item"], 64)})
    tokenizer.fit(inputs)
    codes = tokenizer.encode(inputs)
    assert all(len(np.unique(level)) >= 6 for level in codes.T)


def test_terms_of_the_loss_do_not_grow_with_the_bottleneck() -> None:
    random = torch.Generator().manual_seed(0)
    latent, codebook = torch.randn(50, 6, generator=random), torch.randn(8, 6, generator=random)
    tokenizer = RQVAE(num_levels=1, codebook_size=8)
    terms = []
    for repeats in (1, 2):
        tokenizer.codebooks = [codebook.repeat(1, repeats)]
        terms.append(float(tokenizer._chain(latent.repeat(1, repeats)).terms))
    assert terms[0] == pytest.approx(terms[1])


def test_fitting_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    RQVAE(**SMALL).fit(make_inputs(clustered(40)))
    assert torch.equal(torch.rand(3), expected)


def test_gradients_are_turned_as_the_vector_was() -> None:
    random = torch.Generator().manual_seed(0)
    before = torch.randn(20, 5, generator=random, requires_grad=True)
    after, gradient = torch.randn(20, 5, generator=random), torch.randn(20, 5, generator=random)
    out = rotation_trick(before, after)
    torch.testing.assert_close(out, after)
    out.backward(gradient)
    assert before.grad is not None
    stretch = (after.norm(dim=1) / before.norm(dim=1)).clamp(max=2)
    torch.testing.assert_close(before.grad.norm(dim=1), stretch * gradient.norm(dim=1))
    cosine = torch.nn.functional.cosine_similarity
    torch.testing.assert_close(cosine(before.grad, before), cosine(gradient, after), atol=1e-5, rtol=1e-5)


def test_opposite_and_zero_vectors_keep_gradients_finite() -> None:
    before = torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 1.0]], requires_grad=True)
    rotation_trick(before, torch.tensor([[-1.0, -2.0], [1.0, 0.0], [0.0, 0.0]])).sum().backward()
    assert before.grad is not None
    assert before.grad.isfinite().all()


def test_even_codes_share_out_and_otherwise_stay_near() -> None:
    random = torch.Generator().manual_seed(0)
    distance = torch.rand(64, 4, generator=random)
    distance[:, 0] -= 0.7  # nearest to nearly all
    assert torch.bincount(distance.argmin(1), minlength=4)[0] > 50
    codes = even_codes(distance, 0.03)
    assert torch.bincount(codes, minlength=4).tolist() == pytest.approx([16] * 4, abs=3)
    assert torch.equal(even_codes(1024 * distance + 512, 0.03), codes)
    fair = torch.eye(4).repeat(16, 1)
    assert torch.equal(even_codes(1 - fair, 0.003), fair.argmax(1))


@pytest.mark.parametrize("form", ["parallel", "residual"])
def test_grid_codes_are_rounded_dimensions(form: Any) -> None:
    grid, inputs = (4, 3), make_inputs(clustered(60))
    tokenizer = FSQ(form=form, grid=grid, num_levels=2, **FEW)
    tokenizer.fit(inputs)
    latent = tokenizer._latent_of(inputs).numpy().reshape(60, -1, 2)  # [items, levels or 1, dimensions of a level]
    counts, codes = np.array(grid), tokenizer.encode(inputs)
    for level in range(2):
        place = np.clip(np.rint((latent[:, min(level, latent.shape[1] - 1)] + 1) / 2 * (counts - 1)), 0, counts - 1)
        if form == "residual":  # what is left of a cell, blown up to the whole range
            latent = (latent - (place / (counts - 1) * 2 - 1)[:, None]) * counts
        assert codes[:, level].tolist() == (place @ [3, 1]).astype(int).tolist()


def test_sim_vq_moves_all_codes_of_a_level_together() -> None:
    tokenizer = SimVQ(**SMALL)
    tokenizer.fit(make_inputs(clustered(300)))
    for table, codebook in zip(tokenizer._tables, tokenizer.codebooks, strict=True):
        assert ((codebook - table).norm(dim=1) > 1e-3).all()
        matrix = torch.linalg.lstsq(table, codebook).solution
        torch.testing.assert_close(table @ matrix, codebook, atol=1e-4, rtol=1e-4)


def test_letter_follows_the_collaborative_vectors() -> None:
    """Items that users take together come to share codes when the alignment is strong."""
    random = np.random.default_rng(0)
    taken, content = random.integers(4, size=200), random.standard_normal((200, 12)).astype(np.float32)
    content[:, :4] += np.eye(4)[taken]
    inputs = make_inputs(content)
    inputs = replace(inputs, embeddings={"item": content, "collaborative": np.eye(4, dtype=np.float32)[taken]})
    together = (taken[:, None] == taken) & ~np.eye(200, dtype=bool)
    lift = {}
    for weight in (0.0, 5.0):
        tokenizer = Letter(**{**SMALL, "steps": 150}, alignment_weight=weight)
        tokenizer.fit(inputs)
        codes = tokenizer.encode(inputs)
        same = codes[:, None, 0] == codes[None, :, 0]
        lift[weight] = same[together].mean() / same[~together].mean()
    assert lift[5.0] > 1.3 * lift[0.0], lift


def test_letter_groups_are_even_and_nobody_is_alone() -> None:
    tokenizer = Letter(**{**SMALL, "codebook_size": 25})
    tokenizer.codebooks = [torch.randn(25, 12, generator=torch.Generator().manual_seed(0))]
    tokenizer._group()
    friends = tokenizer._alike[0].sum(1)
    assert not tokenizer._alike[0].diagonal().any()
    assert set(friends.tolist()) <= {1.0, 2.0}
