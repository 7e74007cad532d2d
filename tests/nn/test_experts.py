"""Experts against a loop over tokens; loads that even out; experts that do not die."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from genrec.nn.blocks import Experts


def experts(*, num_experts: int = 6, num_active: int = 2, balance_rate: float = 0.01) -> Experts:
    torch.manual_seed(0)
    layer = Experts(dim=8, mult=2, num_experts=num_experts, num_active=num_active, balance_rate=balance_rate)
    torch.nn.init.normal_(layer.outer)
    return layer


@pytest.mark.parametrize("num_active", [1, 2, 6])
def test_every_token_gets_the_mean_of_its_experts(num_active: int) -> None:
    layer = experts(num_active=num_active).eval()
    torch.nn.init.normal_(layer.balance, std=0.2)  # counts in the choice, not in the weights
    x = torch.randn(3, 5, 8)
    for token, found in zip(x.view(15, 8), layer(x).view(15, 8), strict=True):
        ratings = torch.sigmoid(layer.router(token))
        best = (ratings + layer.balance).argsort(descending=True)[:num_active].tolist()
        total = sum(ratings[e] for e in best)
        expected = sum(ratings[e] / total * (F.gelu(token @ layer.inner[e]) @ layer.outer[e]) for e in best)
        assert torch.allclose(found, torch.as_tensor(expected), atol=1e-5)


def test_neighbours_do_not_matter() -> None:
    layer, x = experts().eval(), torch.randn(40, 8)
    assert torch.allclose(layer(x)[3:4], layer(x[3:4]), atol=1e-6)
    assert layer(x[:0]).shape == (0, 8)


def loads(layer: Experts, x: torch.Tensor) -> list[int]:
    chosen = (torch.sigmoid(layer.router(x)) + layer.balance).topk(layer.num_active, dim=1).indices
    return chosen.flatten().bincount(minlength=len(layer.balance)).tolist()


@pytest.mark.parametrize(("balance_rate", "alive"), [(0.01, 6), (0.0, 2)])
def test_experts_do_not_die(balance_rate: float, alive: int) -> None:
    """A router that sends everything to the first two experts."""
    layer, x = experts(balance_rate=balance_rate), torch.randn(500, 8)
    x[:, 0] = 4.0
    with torch.no_grad():
        layer.router.weight *= 0.3
        layer.router.weight[:2, 0], layer.router.weight[2:, 0] = 0.5, -0.5
    assert loads(layer, x) == [500, 500, 0, 0, 0, 0]
    for _ in range(300):
        layer(x)
    assert sum(load > 0.5 * 1000 / 6 for load in loads(layer, x)) == alive
    layer.eval()
    before = layer.balance.clone()
    layer(x)
    assert torch.equal(layer.balance, before), "nothing changes once training is over"
