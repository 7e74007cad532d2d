"""A causal transformer over histories whose items are one or several tokens each."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from genrec.nn.attention import DistanceBias, TimeGapBias
from genrec.nn.blocks import Dropout, HistoryBlock


class HistoryEncoder(nn.Module):
    """State ``t`` has seen the start and the first ``t`` items; one pass over a sequence gives all states.

    Tokens of one item see each other and everything before. Distances count in items; where an item has several tokens, a
    learned bias says which of them looks at which.

    Args:
        dim: width.
        num_heads: attention heads.
        num_layers: causal blocks.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        max_history_len: longest history, in items.
        num_tokens: tokens of an item.
        residual_dropout: of what the residual paths add, where it is another one.
        time_gaps: also attend by the gap in time between items.
    """

    def __init__(
        self,
        *,
        dim: int,
        num_heads: int,
        num_layers: int,
        feedforward_mult: int,
        dropout: float,
        max_history_len: int,
        num_tokens: int = 1,
        residual_dropout: float | None = None,
        time_gaps: bool = False,
    ) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(num_tokens, dim) * dim**-0.5)  # before any item: empty histories work
        self.input_dropout = Dropout(dropout)
        self.input_norm, self.output_norm = nn.LayerNorm(dim, bias=False), nn.LayerNorm(dim, bias=False)
        self.distance_bias = DistanceBias(num_heads=num_heads, max_distance=max_history_len)
        self.time_bias = TimeGapBias(num_heads=num_heads) if time_gaps else None
        self.token_bias = nn.Parameter(torch.zeros(num_heads, num_tokens, num_tokens)) if num_tokens > 1 else None
        block: dict[str, Any] = {"dim": dim, "num_heads": num_heads, "feedforward_mult": feedforward_mult}
        block |= {"dropout": dropout, "residual_dropout": residual_dropout}
        self.blocks = nn.ModuleList(HistoryBlock(**block) for _ in range(num_layers))

    def forward(
        self,
        items: Float[Tensor, "batch time tokens dim"],
        start: Float[Tensor, "batch tokens dim"] | None = None,
        times: Int64[Tensor, "batch time"] | None = None,
    ) -> Float[Tensor, "batch states tokens dim"]:
        """States of every token; those beyond a history are meaningless but harmless.

        Args:
            items: vectors of the tokens of each item.
            start: what each history starts with; None: ``self.start``.
            times: of each item; read with ``time_gaps`` only, which needs them.
        """
        if start is None:
            start = self.start.expand(items.shape[0], -1, -1)  # not len(items): exporters give symbols for sizes
        x = torch.cat([start.unsqueeze(1), items], dim=1)
        num_states, num_tokens = x.shape[1:3]
        position = torch.arange(num_states, device=x.device).repeat_interleave(num_tokens)
        bias = self.distance_bias(position, position)
        if self.token_bias is not None:
            bias = bias + self.token_bias.repeat(1, num_states, num_states)
        if self.time_bias is not None:
            assert times is not None
            gaps = self.time_bias(times)
            bias = bias + gaps.repeat_interleave(num_tokens, dim=2).repeat_interleave(num_tokens, dim=3)
        x = self.input_dropout(self.input_norm(x)).flatten(1, 2)
        for block in self.blocks:
            x = block(x, bias)
        return self.output_norm(x).unflatten(1, (num_states, num_tokens))
