"""Multi-head attention with relative positions, and the cache of codes that each beam has written."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.core.batch import MISSING_TIME, Batch
from genrec.errors import ConfigError


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

    A query's time is that of its OWN last item, never of the one to be predicted: nobody knows that when recommending. Where
    that item's time is missing, it is the last one before that is not. The gap to an item whose time is missing is unknown, and
    so are all gaps of a query before which no time is known.
    """

    NUM_BUCKETS = 63  # every int64 gap has one
    BEFORE_ALL = -(2**62)  # when the start was: the last bucket, which no gap between items reaches
    UNKNOWN = 61  # nor this one: it begins at 73 years of nanoseconds

    def __init__(self, *, num_heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(self.NUM_BUCKETS, num_heads))

    def forward(self, times: Int[Tensor, "batch time"]) -> Float[Tensor, "batch heads states states"]:
        """Bias of every state (the start, then one per item) towards every state; of no meaning towards later ones."""
        return F.embedding(self.buckets(times), self.weight).permute(0, 3, 1, 2)

    def buckets(self, times: Int[Tensor, "batch time"]) -> Int64[Tensor, "batch states states"]:
        """Returns the bucket of the gap from every state to every state."""
        times = F.pad(times, (1, 0), value=self.BEFORE_ALL)
        state = torch.arange(times.shape[1], device=times.device)
        missing = times == MISSING_TIME
        last = torch.where(missing, 0, state).cummax(dim=1).values  # where the query's time stands; at the start: nowhere
        now = times.gather(1, last)
        gaps = (now.unsqueeze(2) - times.masked_fill(missing, 0).unsqueeze(1)).clamp(min=0)
        buckets = (gaps + 1).float().log2().long().clamp(max=self.NUM_BUCKETS - 1)
        untimed = (last == 0) & (state > 0)
        return buckets.masked_fill(missing.unsqueeze(1) | untimed.unsqueeze(2), self.UNKNOWN)


def required_times(batch: Batch) -> Int64[Tensor, "batch time"]:
    """Returns the times of the histories, for models with ``time_gaps``.

    Raises:
        ConfigError: for histories without times.
    """
    if batch.times is None:
        fix = "give times with the histories, or train with time_gaps=false"
        raise ConfigError("generator.time_gaps", expected="times with every history", got="none", fix=fix)
    return batch.times


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


@dataclass(frozen=True)
class CodeCache:
    """Keys and values of one layer, a pair a code; only the codes of one item, so few that products and sums beat matrices.

    Args:
        keys: per code, [batch, beams, heads, d]; [batch, 1, heads, d] where it was written before there were several beams:
            what all beams share is stored once and never copied.
        values: likewise.
    """

    keys: tuple[Tensor, ...] = ()
    values: tuple[Tensor, ...] = ()

    def written(self, key: Tensor, value: Tensor) -> CodeCache:
        """With one code more."""
        return CodeCache((*self.keys, key), (*self.values, value))

    def reordered(self, index: Int64[Tensor, "batch beams"]) -> CodeCache:
        """Beam ``j`` continues old beam ``index[:, j]``."""
        if not self.keys:  # nothing is written yet
            return self
        tables = (*self.keys, *self.values)
        beams = tables[-1].shape[1]  # before; the first code may stand there once for all
        rows = (index + beams * torch.arange(len(index), device=index.device).unsqueeze(-1)).flatten()

        def of(tables: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            # Whole rows by one index are copied several times faster than entries by two.
            return tuple(
                table if table.shape[1] == 1 else table.flatten(0, 1).index_select(0, rows).unflatten(0, index.shape)
                for table in tables
            )

        return CodeCache(of(self.keys), of(self.values))

    def attend(
        self, query: Float[Tensor, "batch beams heads d"], scale: float = 1.0, bias: Float[Tensor, "heads codes"] | None = None
    ) -> Float[Tensor, "batch beams dim"]:
        """Attention of each beam to its own codes.

        Args:
            query: one per beam.
            scale: of the logits.
            bias: added to them.
        """
        return self._mixed(torch.softmax(self._logits(query, scale, bias), dim=-1)).flatten(2)

    def attend_after(
        self,
        query: Float[Tensor, "batch beams heads d"],
        history: tuple[Float[Tensor, "batch heads tokens d"], Float[Tensor, "batch heads tokens d"]],
        history_bias: Float[Tensor, "..."],
        scale: float = 1.0,
        bias: Float[Tensor, "heads codes"] | None = None,
        dropout: float = 0.0,
    ) -> Float[Tensor, "batch beams dim"]:
        """Attention of each beam to a history that all beams share and to its own codes, in one softmax.

        Args:
            query: one per beam.
            history: keys and values, once per user whatever the number of beams.
            history_bias: added to the logits of the history, to be broadcast to [batch, heads, beams, tokens].
            scale: of the logits.
            bias: added to the logits of the codes.
            dropout: share of the weights that are dropped.
        """
        key, value = history
        code_logits = self._logits(query, scale, bias).transpose(1, 2)  # [batch, heads, beams, codes]
        past = (query.transpose(1, 2) @ key.transpose(-1, -2)) * scale + history_bias
        weights = F.dropout(torch.softmax(torch.cat([past, code_logits], dim=-1), dim=-1), dropout)
        of_past, of_codes = weights.split([past.shape[-1], code_logits.shape[-1]], dim=-1)
        return ((of_past.to(value.dtype) @ value).transpose(1, 2) + self._mixed(of_codes.transpose(1, 2))).flatten(2)

    def _logits(self, query: Tensor, scale: float, bias: Tensor | None) -> Float[Tensor, "batch beams heads codes"]:
        logits = torch.stack([(query * key).sum(-1) for key in self.keys], dim=-1) * scale
        return logits if bias is None else logits + bias

    def _mixed(self, weights: Float[Tensor, "batch beams heads codes"]) -> Float[Tensor, "batch beams heads d"]:
        first, *more = weights.unsqueeze(-2).unbind(-1)
        mixed = first * self.values[0]
        for weight, value in zip(more, self.values[1:], strict=True):
            mixed = torch.addcmul(mixed, weight, value)
        return mixed
