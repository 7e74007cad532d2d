"""What a layer remembers of the codes that each beam has written so far, and the attention to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F


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
        own = self._logits(query, scale, bias).transpose(1, 2)  # [batch, heads, beams, codes]
        past = (query.transpose(1, 2) @ key.transpose(-1, -2)) * scale + history_bias
        weights = F.dropout(torch.softmax(torch.cat([past, own], dim=-1), dim=-1), dropout)
        of_past, of_own = weights.split([past.shape[-1], own.shape[-1]], dim=-1)
        return ((of_past.to(value.dtype) @ value).transpose(1, 2) + self._mixed(of_own.transpose(1, 2))).flatten(2)

    def _logits(self, query: Tensor, scale: float, bias: Tensor | None) -> Float[Tensor, "batch beams heads codes"]:
        logits = torch.stack([(query * key).sum(-1) for key in self.keys], dim=-1) * scale
        return logits if bias is None else logits + bias

    def _mixed(self, weights: Float[Tensor, "batch beams heads codes"]) -> Float[Tensor, "batch beams heads d"]:
        first, *more = weights.unsqueeze(-2).unbind(-1)
        mixed = first * self.values[0]
        for weight, value in zip(more, self.values[1:], strict=True):
            mixed = torch.addcmul(mixed, weight, value)
        return mixed
