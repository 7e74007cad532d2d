"""hstu: sequential transduction without softmax (arXiv 2402.17152), as an item scorer.

A block weighs the past by SiLU of the logits, so weights need not add up to one and say how MUCH there was of something, and
gates what it read; there is no feed-forward layer. Where the data have times, a bias of the gap in time stands beside that of
the distance. Scores are cosines of state and item over a small temperature.

With ``actions`` the stream is item, action, item, action ...: after each item a token for what was done with it, read from a
column of its event. An item is predicted from the state of the action before it, which has seen all items and actions so far.
What will be done with an item is not predicted.

Departures from the paper: the softmax runs over all items (``objective=sampled_softmax`` samples them), distance biases alone
instead of learned absolute positions beside them, a bias per head, a start state so that empty histories work, output
projections that start at zero, and a projection of the state before it is compared. The reference's bias row of a position
looks at the time of the NEXT item, which in training is the target's and in use is unknown; here it is its own. See
docs/methods/hstu.md.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.event_schema import UNKNOWN, Column, EventSchema
from genrec.errors import ConfigError
from genrec.nn.attention import DistanceBias, TimeGapBias, required_times
from genrec.nn.blocks import Dropout
from genrec.nn.conditions import Conditions
from genrec.protocols import TargetLogits
from genrec.types import PAD


class PointwiseBlock(nn.Module):
    """x + W_o dropout(LN(A V) * U), A = SiLU(Q K^T + bias) / n below the diagonal; U, V, Q, K = SiLU(W LN(x)).

    Args:
        dim: model width.
        num_heads: heads of the attention; must divide ``dim``.
        dropout: of the gated values, in [0, 1).
        num_states: n, the same for every batch: divided by its own width, a score would depend on its neighbours.
    """

    def __init__(self, *, dim: int, num_heads: int, dropout: float, num_states: int) -> None:
        super().__init__()
        self.num_heads, self.num_states = num_heads, num_states
        self.input_norm = nn.LayerNorm(dim, bias=False)
        self.attended_norm = nn.LayerNorm(dim, bias=False, eps=1e-6)  # early states attend to little and are short
        self.project = nn.Linear(dim, 4 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        nn.init.zeros_(self.out.weight)  # each block starts as the identity, as elsewhere
        self.dropout = Dropout(dropout)

    def forward(self, x: Float[Tensor, "batch states dim"], bias: Float[Tensor, "..."]) -> Tensor:
        gate, *heads = F.silu(self.project(self.input_norm(x))).chunk(4, dim=-1)
        value, query, key = (y.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for y in heads)
        weights = F.silu(query @ key.transpose(-1, -2) + bias).tril() / self.num_states
        attended = (weights.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        return x + self.out(self.dropout(self.attended_norm(attended) * gate))


class ActionTokens(nn.Module):
    """A vector for the action of each event: of its word, or of its number in half standard deviations from -2 to 2.

    Args:
        column: of events.
        dim: width.
        hidden_share: share of the actions that are unknown in training, so that a model answers who tells none.
    """

    EDGES = 9  # of the buckets of numbers

    def __init__(self, column: Column, *, dim: int, hidden_share: float = 0.1) -> None:
        super().__init__()
        self.column, self.hidden_share = column, hidden_share
        self.table = nn.Embedding(column.num_codes or self.EDGES + 2, dim)
        nn.init.normal_(self.table.weight, std=dim**-0.5)

    def forward(self, batch: Batch) -> Float[Tensor, "batch time dim"]:
        codes = self.codes(batch)
        if self.training and self.hidden_share:
            codes = codes.masked_fill(torch.rand(codes.shape, device=codes.device) < self.hidden_share, UNKNOWN)
        return self.table(codes)

    def codes(self, batch: Batch) -> Int64[Tensor, "batch time"]:
        """Returns the number of each action; 0 where it is not known."""
        if self.column.name not in batch.columns:
            return torch.full_like(batch.history, UNKNOWN)
        values = batch.columns[self.column.name]
        if self.column.num_codes:
            return values.long()
        edges = torch.linspace(-2, 2, self.EDGES, device=values.device)
        return torch.where(values.isnan(), UNKNOWN, 1 + torch.bucketize(values, edges))


class HSTU(nn.Module):
    """An item scorer: the history state against a table of item embeddings, by cosine.

    Args:
        dim: model width.
        num_heads: attention heads.
        num_layers: blocks.
        dropout: in [0, 1).
        temperature: what cosines are divided by, above 0.
        time_gaps: also attend by the gap in time, for data with times; every history that is asked about needs them then.
        actions: column of ``events.columns``, a category or a number, whose values are tokens of their own after the items,
            such as the kind of event or the rating; it is then no part of the items. None: the stream is items alone.
        max_history_len: longest history, in items.

    Raises:
        ConfigError: for a temperature that is not above 0; for actions that are no column; with ``time_gaps``, for histories
            without times.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        *,
        num_items: int,
        dim: int = 128,
        num_heads: int = 4,
        num_layers: int = 4,
        dropout: float = 0.4,
        temperature: float = 0.05,
        time_gaps: bool = False,
        actions: str | None = None,
        max_history_len: int = 50,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ConfigError("generator.temperature", expected="above 0", got=temperature, fix="raise it")
        self.max_history_len, self.temperature = max_history_len, temperature
        self.items = nn.Embedding(num_items, dim)
        nn.init.normal_(self.items.weight, std=dim**-0.5)
        self.start = nn.Parameter(torch.randn(dim) * dim**-0.5)
        self.input_norm, self.input_dropout = nn.LayerNorm(dim, bias=False), Dropout(dropout)
        # Without it a state would begin as the vector of its own last item, and by cosine that is the best answer there is.
        self.query = nn.Linear(dim, dim, bias=False)
        self.actions = None if actions is None else ActionTokens((schema or EventSchema()).action(actions), dim=dim)
        num_tokens = max_history_len if actions is None else 2 * max_history_len
        self.distance_bias = DistanceBias(num_heads=num_heads, max_distance=num_tokens)
        self.time_bias = TimeGapBias(num_heads=num_heads) if time_gaps else None
        self.needs_times = time_gaps  # every history that it is asked about must then have times
        self.blocks = nn.ModuleList(
            PointwiseBlock(dim=dim, num_heads=num_heads, dropout=dropout, num_states=num_tokens + 1) for _ in range(num_layers)
        )
        self.conditions = Conditions(schema=schema, dim=dim, apart=actions)

    def history_states(self, batch: Batch) -> Float[Tensor, "batch states dim"]:
        """State ``t`` has seen the start and the first ``t`` items, and their times and actions."""
        start = self.conditions.add_user(self.start, batch).unsqueeze(1)
        tokens = self.conditions.add_columns(self.items(batch.history.clamp(min=0)), batch)
        if self.actions is not None:
            tokens = torch.stack([tokens, self.actions(batch)], dim=2).flatten(1, 2)
        x = self.input_dropout(self.input_norm(torch.cat([start, tokens], dim=1)))
        bias = self._bias(batch)
        for block in self.blocks:
            x = block(x, bias)
        return x if self.actions is None else x[:, ::2]  # of the start and of each action

    def _bias(self, batch: Batch) -> Float[Tensor, "batch_or_1 heads states states"]:
        """Finite also towards the future, which the blocks cut off after the SiLU."""
        per_event = 1 if self.actions is None else 2
        position = torch.arange(per_event * batch.history.shape[1] + 1, device=batch.history.device)
        distance = (position.unsqueeze(1) - position).clamp(0, per_event * self.max_history_len)
        bias = self.distance_bias.weight[:, distance].unsqueeze(0)
        if self.time_bias is None:
            return bias
        return bias + self.time_bias(required_times(batch).repeat_interleave(per_event, dim=1))

    def _queries(self, states: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        return F.normalize(self.query(states), dim=-1) / self.temperature

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Returns logits over all items at every target of the batch."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        has_target = batch.targets != PAD
        states = self.conditions.add_request(self.history_states(batch), batch)[has_target]
        return TargetLogits(batch.targets[has_target], item_queries=self._queries(states))

    def item_table(self) -> Float[Tensor, "items dim"]:
        """The unit vectors of all items."""
        return F.normalize(self.items.weight, dim=-1)

    def lookup(self, items: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        """Some rows of ``item_table``."""
        return F.normalize(self.items(items), dim=-1)

    def score(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """Scores of all items for the next position of each history."""
        states = self.conditions.add_request(self.history_states(batch), batch)
        last = states[torch.arange(len(batch), device=states.device), batch.lengths]
        return self._queries(last) @ self.item_table().T
