"""The mean normalizer in blocks is the mean normalizer, and so is its gradient."""

from __future__ import annotations

import pytest
import torch

import genrec.objectives.lib.item_softmax as module


@pytest.mark.parametrize("fewest", [1, 2, 64])
@pytest.mark.parametrize("table_learns", [True, False])
def test_blocks_change_nothing(fewest: int, table_learns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    queries, table = torch.randn(5, 4, requires_grad=True), torch.randn(33, 4, requires_grad=table_learns)
    leaves = (queries, table) if table_learns else (queries,)
    whole = torch.logsumexp(queries @ table.T, dim=1).mean()
    expected = torch.autograd.grad(3 * whole, leaves)
    monkeypatch.setattr(module, "BLOCK", 1)
    monkeypatch.setattr(module, "FEWEST", fewest)
    mean = module.mean_log_normalizer(queries, table)
    got = torch.autograd.grad(3 * mean, leaves)
    assert torch.allclose(mean, whole, atol=1e-5)
    for ours, theirs in zip(got, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("learns", [True, False])
def test_whoever_looks_sees_every_softmax_once_in_blocks(learns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of as many logits as fit, in the order of the queries; no larger product is ever made."""
    monkeypatch.setattr(module, "BLOCK", 70)
    monkeypatch.setattr(module, "FEWEST", 1)
    queries, table = torch.randn(5, 4, requires_grad=learns), torch.randn(33, 4)
    seen: list[torch.Tensor] = []
    module.mean_log_normalizer(queries, table, lambda weights: seen.append(weights.clone()))
    assert [weights.shape for weights in seen] == [(33, 2), (33, 2), (33, 1)]
    weights = torch.cat(seen, dim=1).T
    assert torch.allclose(weights / weights.sum(1, keepdim=True), torch.softmax(queries @ table.T, dim=1), atol=1e-6)


def test_lower_precision_sums_in_fp32() -> None:
    torch.manual_seed(0)
    queries, table = torch.randn(300, 8), torch.randn(50, 8)
    low = [part.bfloat16().requires_grad_() for part in (queries, table)]
    exact = [part.detach().float().requires_grad_() for part in low]
    (expected,) = torch.autograd.grad(torch.logsumexp(exact[0] @ exact[1].T, dim=1).mean(), exact[1])
    (got,) = torch.autograd.grad(module.mean_log_normalizer(*low), low[1])
    assert got.dtype == torch.bfloat16
    assert float((got.float() - expected).norm() / expected.norm()) < 0.01
