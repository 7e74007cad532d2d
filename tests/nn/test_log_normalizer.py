"""The normalizer in blocks is the normalizer."""

from __future__ import annotations

import pytest
import torch

import genrec.nn.log_normalizer as module


@pytest.mark.parametrize("block", [1, 20, 35, 10**6])
def test_blocks_change_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    queries, table = torch.randn(5, 4, requires_grad=True), torch.randn(33, 4, requires_grad=True)
    weights = torch.randn(5)
    whole = torch.logsumexp(queries @ table.T, dim=1)
    expected = torch.autograd.grad((whole * weights).sum(), (queries, table))
    monkeypatch.setattr(module, "BLOCK", block)
    total = module.log_normalizer(queries, table)
    got = torch.autograd.grad((total * weights).sum(), (queries, table))
    assert torch.allclose(total, whole, atol=1e-5)
    for ours, theirs in zip(got, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_memory_does_not_grow_with_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """No product larger than a block is ever made."""
    monkeypatch.setattr(module, "BLOCK", 50)
    sizes = []
    exp = torch.exp
    monkeypatch.setattr(module.torch, "exp", lambda x: (sizes.append(x.numel()), exp(x))[1])
    queries = torch.randn(5, 4, requires_grad=True)
    module.log_normalizer(queries, torch.randn(1000, 4)).sum().backward()
    assert len(sizes) == 100
    assert max(sizes) == 50
