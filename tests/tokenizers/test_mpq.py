"""What MPQ promises beyond the contract of all tokenizers: experts that differ, and a gate that starves none."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from small_codes import make_inputs

from genrec.errors import ConfigError
from genrec.tokenizers.mpq import MPQ

SMALL: dict[str, Any] = {"num_levels": 4, "codebook_size": 8, "hidden": [16], "latent_dim": 4, "steps": 150, "batch_size": 128}


def independent(seed: int = 0) -> np.ndarray:
    """Vectors of four groups of independent directions."""
    return np.random.default_rng(seed).standard_normal((600, 12)).astype(np.float32)


def shared_information(first: np.ndarray, second: np.ndarray) -> float:
    """Normalized mutual information."""

    def bits(*columns: np.ndarray) -> float:
        share = np.unique(np.column_stack(columns), axis=0, return_counts=True)[1] / len(first)
        return float(-(share * np.log(share)).sum())

    return (bits(first) + bits(second) - bits(first, second)) / np.sqrt(bits(first) * bits(second))


def test_projections_of_experts_are_orthogonal_and_share_the_variance() -> None:
    vectors = independent() * np.linspace(1, 3, 12, dtype=np.float32)
    tokenizer = MPQ(**SMALL)
    tokenizer.fit(make_inputs(vectors))
    rotation = tokenizer._experts.rotation
    torch.testing.assert_close(rotation.T @ rotation, torch.eye(12), atol=1e-5, rtol=0)
    parts = (((torch.from_numpy(vectors) - tokenizer._center) / tokenizer._scale) @ rotation).tensor_split(4, dim=1)
    shares = torch.stack([part.var(0).sum() for part in parts])
    assert float(shares.max() / shares.min()) < 1.5


def test_codes_of_two_experts_share_little_more_than_chance() -> None:
    tokenizer, inputs = MPQ(**SMALL), make_inputs(independent())
    tokenizer.fit(inputs)
    codes, random = tokenizer.encode(inputs), np.random.default_rng(0)
    for first, second in combinations(range(4), 2):
        chance = shared_information(codes[:, first], random.permutation(codes[:, second]))
        assert shared_information(codes[:, first], codes[:, second]) < chance + 0.05
    assert all(len(np.unique(column)) == 8 for column in codes.T)


def test_every_expert_is_needed_and_none_starves() -> None:
    tokenizer, inputs = MPQ(**SMALL), make_inputs(independent())
    tokenizer.fit(inputs)
    gates = tokenizer.gates(inputs)
    assert gates.mean(axis=1) == pytest.approx(1, abs=1e-5)
    assert gates.min() >= 0.25
    standardized = (torch.from_numpy(independent()) - tokenizer._center) / tokenizer._scale
    picked = [
        book[torch.from_numpy(column)] for book, column in zip(tokenizer.codebooks, tokenizer.encode(inputs).T, strict=True)
    ]

    def error(without: int | None) -> float:
        shown = [part * 0 if expert == without else part for expert, part in enumerate(picked)]
        weighted = [part * torch.from_numpy(gates[:, [expert]]) for expert, part in enumerate(shown)]
        with torch.no_grad():
            return float((tokenizer._decoder(torch.cat(weighted, dim=1)) - standardized).square().mean())

    assert all(error(expert) > error(None) + 0.02 for expert in range(4)), [error(each) for each in (None, 0, 1, 2, 3)]


def test_has_no_more_experts_than_dimensions() -> None:
    with pytest.raises(ConfigError, match="at most the 12 dimensions"):
        MPQ(**{**SMALL, "num_levels": 13}).fit(make_inputs(independent()))
