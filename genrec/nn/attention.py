"""Multi-head attention whose positions are relative: one learned bias per head and distance."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.nn.code_cache import CodeCache


class DistanceBias(nn.Module):
    """A learned logit per head and distance (0 .. max_distance; further is treated as max_distance).

    Relative positions make a history's encoding independent of padding and of where a window starts.
    """

    def __init__(self, *, num_heads: int, max_distance: int) -> None:
        super().__init__()
        self.max_distance = max_distance
        self.weight = nn.Parameter(torch.zeros(num_heads, max_distance + 1))

    def forward(self, query: Int[Tensor, " q"], key: Int[Tensor, " k"]) -> Float[Tensor, "heads q k"]:
        """Bias of queries at positions ``query`` towards keys at positions ``key``; -inf for keys in the future."""
        distance = query.unsqueeze(-1) - key
        bias = self.weight[:, distance.clamp(0, self.max_distance)]
        return bias.masked_fill(distance < 0, float("-inf"))


class TimeGapBias(nn.Module):
    """A learned logit per head and gap in time, in buckets that double: 0, 1 to 2, 3 to 6, ... units of the data's clock.

    A query's time is that of its OWN last item, never of the one to be predicted: nobody knows that when recommending.
    """

    NUM_BUCKETS = 63  # every int64 gap has one
    BEFORE_ALL = -(2**62)  # when the start was: a bucket of its own

    def __init__(self, *, num_heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(self.NUM_BUCKETS, num_heads))

    def forward(self, times: Int[Tensor, "batch time"]) -> Float[Tensor, "batch heads states states"]:
        """Bias of every state (the start, then one per item) towards every state; of no meaning towards later ones."""
        times = F.pad(times, (1, 0), value=self.BEFORE_ALL)
        gaps = (times.unsqueeze(2) - times.unsqueeze(1)).clamp(min=0)
        buckets = (gaps + 1).float().log2().long().clamp(max=self.NUM_BUCKETS - 1)
        return F.embedding(buckets, self.weight).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Projections of multi-head attention; the caller decides what attends to what.

    Args:
        dim: model width.
        num_heads: heads; must divide ``dim``.
        dropout: share of attention weights dropped in training, in [0, 1).
    """

    def __init__(self, *, dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        nn.init.zeros_(self.out.weight)  # each block starts as the identity: the first epochs teach several times more

    def keys_values(self, x: Float[Tensor, "batch k dim"]) -> tuple[Tensor, Tensor]:
        """Keys and values [batch, heads, k, dim / heads]."""
        key, value = self.key_value(x).chunk(2, dim=-1)
        return self._heads(key), self._heads(value)

    def attend(
        self, x: Float[Tensor, "batch q dim"], keys_values: tuple[Tensor, Tensor], bias: Tensor | None = None
    ) -> Float[Tensor, "batch q dim"]:
        """Attends from ``x`` to given keys; ``bias`` is added to the logits and broadcast to [batch, heads, q, k]."""
        key, value = keys_values
        query = self._heads(self.query(x))
        bias = None if bias is None else bias.to(query.dtype)
        out = F.scaled_dot_product_attention(query, key, value, bias, self.dropout if self.training else 0.0)
        return self.out(out.transpose(1, 2).flatten(2))

    def attend_branches(
        self,
        x: Float[Tensor, "batch branches dim"],
        history: tuple[Tensor, Tensor],
        history_bias: Tensor,
        written: CodeCache,
        bias: Float[Tensor, "heads tokens"] | None = None,
    ) -> tuple[Float[Tensor, "batch branches dim"], CodeCache]:
        """Attends from one new token of each branch to the history that all share, to the branch's tokens, and to itself.

        Args:
            x: the new tokens.
            history: keys and values of the history.
            history_bias: added to its logits, to be broadcast to [batch, heads, branches, k].
            written: what the branches have so far.
            bias: of each head towards the branch's tokens, the new one last.

        Returns:
            What was attended to, and ``written`` with the new tokens.
        """
        query, key, value = (y.transpose(1, 2) for y in (self._heads(self.query(x)), *self.keys_values(x)))
        written = written.written(key, value)
        dropout = self.dropout if self.training else 0.0
        return self.out(written.attend_after(query, history, history_bias, query.shape[-1] ** -0.5, bias, dropout)), written

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Linear - GELU - Linear; the last projection starts at zero."""

    def __init__(self, *, dim: int, mult: int) -> None:
        inner, out = nn.Linear(dim, mult * dim, bias=False), nn.Linear(mult * dim, dim, bias=False)
        nn.init.zeros_(out.weight)
        super().__init__(inner, nn.GELU(), out)
