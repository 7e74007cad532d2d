"""Pre-norm transformer blocks, with a dropout and a mixture of experts that are fast on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.nn.attention import Attention, CodeCache, FeedForward


class HistoryBlock(nn.Module):
    """Causal self-attention and feed-forward, each on a residual path.

    Args:
        dim: model width.
        num_heads: attention heads.
        feedforward_mult: width of the feed-forward layer, in units of ``dim``.
        dropout: of attention weights and of what the residual paths add, in [0, 1).
        residual_dropout: of the latter, where it is another one.
    """

    def __init__(
        self, *, dim: int, num_heads: int, feedforward_mult: int, dropout: float, residual_dropout: float | None = None
    ) -> None:
        super().__init__()
        self.attention_norm, self.feedforward_norm = nn.LayerNorm(dim, bias=False), nn.LayerNorm(dim, bias=False)
        self.attention = Attention(dim=dim, num_heads=num_heads, dropout=dropout)
        self.feedforward = FeedForward(dim=dim, mult=feedforward_mult)
        self.dropout = Dropout(dropout if residual_dropout is None else residual_dropout)

    def forward(self, x: Float[Tensor, "batch states dim"], bias: Float[Tensor, "*each heads states states"]) -> Tensor:
        return self.read(x, bias)[0]

    def read(
        self, x: Float[Tensor, "batch states dim"], bias: Float[Tensor, "*each heads states states"]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """``forward``, and the keys and values that ``branch`` attends to."""
        y = self.attention_norm(x)
        keys_values = self.attention.keys_values(y)
        return self._finish(x, self.attention.attend(y, keys_values, bias)), keys_values

    def branch(
        self,
        x: Float[Tensor, "batch branches dim"],
        history: tuple[Tensor, Tensor],
        history_bias: Tensor,
        written: CodeCache,
        bias: Float[Tensor, "heads tokens"] | None = None,
    ) -> tuple[Float[Tensor, "batch branches dim"], CodeCache]:
        """One token more on every branch (a beam, a chain of thoughts): see ``Attention.attend_branches``."""
        attended, written = self.attention.attend_branches(self.attention_norm(x), history, history_bias, written, bias)
        return self._finish(x, attended), written

    def _finish(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.dropout(attended)
        return x + self.dropout(self.feedforward(self.feedforward_norm(x)))


class CodeBlock(nn.Module):
    """A decoder block over the codes of ONE item: attends to the codes so far, then to the history.

    The item's codes are few (3 to 8), so attention among them is written out as products and sums: thousands of 4 x 4 matrix
    products would cost more than the arithmetic in them.
    """

    def __init__(self, *, dim: int, num_heads: int, feedforward_mult: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.code_norm, self.history_norm, self.feedforward_norm = (
            nn.LayerNorm(dim, bias=False),
            nn.LayerNorm(dim, bias=False),
            nn.LayerNorm(dim, bias=False),
        )
        self.code_qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.code_out = nn.Linear(dim, dim, bias=False)
        nn.init.zeros_(self.code_out.weight)
        self.to_history = Attention(dim=dim, num_heads=num_heads, dropout=dropout)
        self.feedforward: nn.Module = FeedForward(dim=dim, mult=feedforward_mult)
        self.dropout = Dropout(dropout)

    def codes_qkv(self, x: Float[Tensor, "*rows dim"]) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of the attention among an item's codes, each [*rows, heads, dim / heads]."""
        query, key, value = self.code_qkv(self.code_norm(x)).unflatten(-1, (3, self.num_heads, -1)).unbind(-3)
        return query, key, value

    def attend_codes(self, query: Tensor, keys: Tensor, values: Tensor) -> Float[Tensor, "*rows dim"]:
        """One query per row [*rows, heads, d] over that row's own codes so far [*rows, codes, heads, d]."""
        logits = (query.unsqueeze(-3) * keys).sum(-1) * query.shape[-1] ** -0.5  # [*rows, codes, heads]
        weights = torch.softmax(logits, dim=-2)
        return self.code_out((weights.unsqueeze(-1) * values).sum(-3).flatten(-2))

    def finish(self, x: Tensor, attended: Tensor, history: tuple[Tensor, Tensor], bias: Tensor | None) -> Tensor:
        """The rest of the block, given the attention among codes; ``x`` is [batch, queries, dim]."""
        return self.feed(self.look_back(x, attended, history, bias))

    def look_back(self, x: Tensor, attended: Tensor, history: tuple[Tensor, Tensor], bias: Tensor | None) -> Tensor:
        """The attention to the history, given that among codes; ``x`` is [batch, queries, dim]."""
        x = x + self.dropout(attended)
        return x + self.dropout(self.to_history.attend(self.history_norm(x), history, bias))

    def feed(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """The feed-forward layer, row by row."""
        return x + self.dropout(self.feedforward(self.feedforward_norm(x)))


class Dropout(nn.Module):
    """Dropout with its rate rounded to 1/256 on a CPU, where one 64-bit draw decides eight elements.

    PyTorch draws each element's Bernoulli separately there, which measured a third of a training step of ``encdec``. On other
    devices this is ``F.dropout``. The expectation is exact: the scale uses the rounded rate.

    Args:
        rate: share of elements set to zero in training, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"dropout: expected a rate in [0, 1), got {rate}")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.rate)
        threshold = min(round(self.rate * 256), 255)
        draws = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        keep = draws.view(torch.uint8)[: x.numel()].view(x.shape) >= threshold
        return x * (keep.to(x.dtype) * (256 / (256 - threshold)))


@contextmanager
def without_dropout(module: nn.Module) -> Iterator[None]:
    """Puts a module into eval mode for a while; gradients flow as before."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


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
