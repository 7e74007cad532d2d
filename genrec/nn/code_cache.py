"""What a decoder layer remembers of the codes that each beam has written so far, and the attention to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor


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
        logits = torch.stack([(query * key).sum(-1) for key in self.keys], dim=-1) * scale  # [batch, beams, heads, codes]
        weights = torch.softmax(logits if bias is None else logits + bias, dim=-1).unsqueeze(-2).unbind(-1)
        attended = weights[0] * self.values[0]
        for weight, value in zip(weights[1:], self.values[1:], strict=True):
            attended = torch.addcmul(attended, weight, value)
        return attended.flatten(2)
