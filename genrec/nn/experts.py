"""A feed-forward layer of several experts, each token asking only the few that suit it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Experts(nn.Module):
    """The weighted mean of the ``num_active`` experts (linear - GELU - linear) that a router rates highest for a token.

    No token is ever dropped, so that what a token gets does not depend on its neighbours. Loads are balanced without a term in
    the loss (arXiv 2408.15664; docs/methods/onerec.md): a bias per expert counts when experts are chosen, not when they are
    weighed, and after every training pass it goes up by ``balance_rate`` for the experts that had less than their share and
    down for the others. Without it a few experts that are a little better early get all tokens, and the rest never learn.

    Args:
        dim: model width.
        mult: width of an expert, in units of ``dim``.
        num_experts: how many there are.
        num_active: how many a token asks.
        balance_rate: step of the biases, 0 or more; ratings lie in (0, 1).
    """

    balance: Tensor  # [experts]

    def __init__(self, *, dim: int, mult: int, num_experts: int, num_active: int, balance_rate: float) -> None:
        super().__init__()
        self.num_active, self.balance_rate = num_active, balance_rate
        self.router = nn.Linear(dim, num_experts, bias=False)
        self.inner = nn.Parameter(torch.empty(num_experts, dim, mult * dim).uniform_(-(dim**-0.5), dim**-0.5))
        self.outer = nn.Parameter(torch.zeros(num_experts, mult * dim, dim))  # starts as nothing, like ``FeedForward``
        self.register_buffer("balance", torch.zeros(num_experts))

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        tokens = x.flatten(0, -2)
        ratings = torch.sigmoid(self.router(tokens).float())
        chosen = (ratings + self.balance).topk(self.num_active, dim=1).indices
        weights = F.normalize(ratings.gather(1, chosen), p=1, dim=1)
        loads = chosen.flatten().bincount(minlength=len(self.balance))
        if self.training:
            with torch.no_grad():
                self.balance += self.balance_rate * torch.sign(loads.float().mean() - loads)
        order = chosen.flatten().argsort(stable=True)  # the tokens of an expert side by side
        parts = tokens[order // self.num_active].split(loads.tolist())
        answers = [
            F.gelu(part @ inner) @ outer
            for part, inner, outer in zip(parts, self.inner.unbind(), self.outer.unbind(), strict=True)
        ]
        back = torch.cat(answers)[order.argsort()].unflatten(0, (-1, self.num_active))
        return (weights.unsqueeze(-1) * back).sum(1).to(x.dtype).view_as(x)
