"""sasrec: self-attentive sequential recommendation (arXiv 1808.09781) with the full softmax (2309.07602).

The reference that published tables undertrain: every position is a target and the loss is cross-entropy over ALL items, which
is what makes it strong (see docs/methods/sasrec.md). Departures: relative distance bias instead of absolute positions,
LayerNorm without bias, a start state, dropout on the input only once.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.nn.attention import DistanceBias, TimeGapBias, required_times
from genrec.nn.blocks import Dropout, HistoryBlock
from genrec.nn.conditions import Conditions
from genrec.protocols import TargetLogits
from genrec.types import PAD


class SASRec(nn.Module):
    """An item scorer: the history state against a tied table of item embeddings.

    Args:
        dim: model width.
        num_heads: attention heads.
        num_layers: causal blocks.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        time_gaps: also attend by the gap in time, for data with times; every history that is asked about needs them then.
        max_history_len: longest history, in items.

    Raises:
        ConfigError: with ``time_gaps``, for histories without times.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        *,
        num_items: int,
        dim: int = 128,
        num_heads: int = 2,
        num_layers: int = 2,
        feedforward_mult: int = 2,
        dropout: float = 0.4,
        time_gaps: bool = False,
        max_history_len: int = 50,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        self.max_history_len = max_history_len
        self.items = nn.Embedding(num_items, dim)
        nn.init.normal_(self.items.weight, std=dim**-0.5)
        self.start = nn.Parameter(torch.randn(dim) * dim**-0.5)
        self.input_dropout = Dropout(dropout)
        self.input_norm, self.output_norm = nn.LayerNorm(dim, bias=False), nn.LayerNorm(dim, bias=False)
        self.distance_bias = DistanceBias(num_heads=num_heads, max_distance=max_history_len)
        self.time_bias = TimeGapBias(num_heads=num_heads) if time_gaps else None
        self.needs_times = time_gaps  # every history that it is asked about must then have times
        self.blocks = nn.ModuleList(
            HistoryBlock(dim=dim, num_heads=num_heads, feedforward_mult=feedforward_mult, dropout=dropout)
            for _ in range(num_layers)
        )
        self.conditions = Conditions(schema=schema, dim=dim)

    def history_states(self, batch: Batch) -> Float[Tensor, "batch states dim"]:
        """State ``t`` has seen the start and the first ``t`` items."""
        start = self.conditions.add_user(self.start, batch).unsqueeze(1)
        x = torch.cat([start, self.conditions.add_columns(self.items(batch.history.clamp(min=0)), batch)], dim=1)
        x = self.input_dropout(self.input_norm(x))
        position = torch.arange(x.shape[1], device=x.device)
        bias = self.distance_bias(position, position)
        if self.time_bias is not None:
            bias = bias + self.time_bias(required_times(batch))
        for block in self.blocks:
            x = block(x, bias)
        return self.output_norm(x)

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Returns logits over all items at every target of the batch."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        has_target = batch.targets != PAD
        queries = self.conditions.add_request(self.history_states(batch), batch)[has_target]
        return TargetLogits(batch.targets[has_target], item_queries=queries)

    def item_table(self) -> Float[Tensor, "items dim"]:
        """The tied embedding table."""
        return self.items.weight

    def lookup(self, items: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        """Some rows of ``item_table``."""
        return self.items(items)

    def score(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """Scores of all items for the next position of each history."""
        states = self.conditions.add_request(self.history_states(batch), batch)
        last = states[torch.arange(len(batch), device=states.device), batch.lengths]
        return last @ self.items.weight.T
