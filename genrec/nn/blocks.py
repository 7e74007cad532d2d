"""Pre-norm transformer blocks: a causal one over the history, and one that writes the codes of an item."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genrec.nn.attention import Attention, FeedForward
from genrec.nn.code_cache import CodeCache
from genrec.nn.dropout import Dropout


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

    def forward(self, x: Float[Tensor, "batch states dim"], bias: Float[Tensor, "heads states states"]) -> Tensor:
        return self.read(x, bias)[0]

    def read(
        self, x: Float[Tensor, "batch states dim"], bias: Float[Tensor, "heads states states"]
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
