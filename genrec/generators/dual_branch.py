"""dual_branch: an item is an id and a semantic ID, each in a branch that reads the other (H2Rec, arXiv 2512.10388).

Codes alone blur popular items, ids alone starve rare ones. In one branch each level of the codes asks the ids of the history
(cross-attention), and a gate that reads the last id weighs the levels; in the other the ids ask the codes. Both go through one
causal transformer, and an item's score is the sum of the two products, <u_id, e_id> + <u_codes, e_codes>.

Departures: cross-attention is causal and has a residual path, so that every state predicts; ids are gated by their training
events (none: zero); the gate is that of each state; full softmax. All of them: docs/methods/h2rec.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.nn.attention import Attention, DistanceBias
from genrec.nn.components import principal_axes
from genrec.nn.conditions import Conditions
from genrec.nn.history_encoder import HistoryEncoder
from genrec.protocols import TargetLogits
from genrec.types import PAD


class DualBranch(nn.Module):
    """An item scorer of two branches.

    Args:
        text_vectors: [items, any], what the encoder says of the items' text; ids start from their principal components.
        train_counts: [items] training events.
        dim: width of each branch; states and items have two of it.
        num_heads: attention heads.
        num_layers: causal blocks, which both branches share.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        cross_attention: False: each branch sees its own half of an item alone.
        max_history_len: longest history, in items.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids", "encoder"})
    item_rows: ClassVar[frozenset[str]] = frozenset({"ids.weight", "id_gate"})
    GATE_EVENTS = 5.0
    tokens: Tensor  # [items, levels]
    id_gate: Tensor  # [items, 1]
    coarse_first: Tensor  # [levels]

    def __init__(
        self,
        *,
        sids: SIDTable,
        text_vectors: np.ndarray,
        train_counts: np.ndarray | None = None,
        dim: int = 128,
        num_heads: int = 2,
        num_layers: int = 2,
        feedforward_mult: int = 2,
        dropout: float = 0.4,
        cross_attention: bool = True,
        max_history_len: int = 50,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        self.sids, codes = sids, sids.content_codes
        self.max_history_len, num_levels = max_history_len, len(codes.sizes)
        self.register_buffer("tokens", torch.from_numpy(codes.tokens), persistent=False)
        self.codes = nn.Embedding(codes.num_tokens, dim)
        nn.init.normal_(self.codes.weight, std=(dim * num_levels) ** -0.5)
        self.ids = nn.Embedding(sids.num_items, dim)
        nn.init.normal_(self.ids.weight, std=dim**-0.5)
        mean, axes = principal_axes(text_vectors, dim, whiten=False)
        with torch.no_grad():
            self.ids.weight[:, : axes.shape[1]] = torch.from_numpy((text_vectors - mean) @ axes) * dim**-0.5
        counts = np.zeros(sids.num_items) if train_counts is None else np.asarray(train_counts)
        self.register_buffer("id_gate", torch.from_numpy(counts / (counts + self.GATE_EVENTS)).float().unsqueeze(1))

        shape: dict[str, Any] = {"dim": dim, "num_heads": num_heads, "dropout": dropout}
        self.cross_attention = cross_attention
        if cross_attention:
            self.distance_bias = DistanceBias(num_heads=num_heads, max_distance=max_history_len)
            self.id_norm, self.code_norm = nn.LayerNorm(dim, bias=False), nn.LayerNorm(dim, bias=False)
            self.level_to_ids = nn.ModuleList(Attention(**shape) for _ in range(num_levels))
            self.ids_to_codes = Attention(**shape)
            self.gate = nn.Sequential(nn.Linear(dim, dim // 2), nn.ReLU(), nn.Linear(dim // 2, num_levels))
            self.register_buffer("coarse_first", torch.linspace(1, 0.2, num_levels), persistent=False)
            self.hidden_levels = nn.Parameter(torch.randn(num_levels, dim) * (dim * num_levels) ** -0.5)
        self.history = HistoryEncoder(
            num_layers=num_layers, feedforward_mult=feedforward_mult, max_history_len=max_history_len, **shape
        )
        self.conditions = Conditions(schema=schema, dim=2 * dim)  # a half for each branch

    # --- items ----------------------------------------------------------------------------------------------------------

    def item_table(self) -> Float[Tensor, "items width"]:
        """The ids and the codes of all items, side by side."""
        items = torch.arange(self.tokens.shape[0], device=self.tokens.device)
        return torch.cat([self._ids_of(items), self._levels_of(items).sum(-2)], dim=-1)

    def _ids_of(self, items: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        return self.ids(items) * self.id_gate[items]

    def _levels_of(self, items: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape levels dim"]:
        return self.codes(self.tokens[items])

    # --- histories ------------------------------------------------------------------------------------------------------

    def history_states(self, batch: Batch) -> Float[Tensor, "batch states width"]:
        """State ``t`` has seen the start and the first ``t`` items; its halves are multiplied with ids and with codes."""
        items = batch.history.clamp(min=0)
        ids, levels = self._ids_of(items), self._levels_of(items)
        if self.cross_attention:
            branches = [self._codes_that_read_ids(ids, levels), self._ids_that_read_codes(ids, levels.sum(-2))]
        else:
            branches = [ids, levels.sum(-2)]
        return self._encode(dict(enumerate(branches)), batch)

    def _encode(
        self, branches: Mapping[int, Float[Tensor, "batch time dim"]], batch: Batch
    ) -> Float[Tensor, "batch states any"]:
        """States of one branch or of both, side by side; columns and users have a half for each."""
        items, start = torch.cat([*branches.values()]), None
        if self.conditions.schema:
            columns = self.conditions.add_columns(items.new_zeros(*batch.history.shape, 2 * items.shape[-1]), batch)
            starts = self.conditions.add_user(self.history.start.repeat(1, 2), batch)
            items = items + torch.cat([columns.chunk(2, -1)[branch] for branch in branches])
            start = torch.cat([starts.chunk(2, -1)[branch] for branch in branches])
        return torch.cat(self.history(items.unsqueeze(2), start).squeeze(2).chunk(len(branches)), dim=-1)

    def _codes_that_read_ids(
        self, ids: Float[Tensor, "batch time dim"], levels: Float[Tensor, "batch time levels dim"]
    ) -> Float[Tensor, "batch time dim"]:
        bias, read = self._bias(ids), self.id_norm(ids)
        views = []
        for level, attention in zip(levels.unbind(-2), self.level_to_ids, strict=True):
            assert isinstance(attention, Attention)
            views.append(level + attention.attend(self.code_norm(level), attention.keys_values(read), bias))
        return (torch.stack(views, dim=-2) * self._level_weights(ids).unsqueeze(-1)).sum(-2)

    def _ids_that_read_codes(
        self, ids: Float[Tensor, "batch time dim"], codes: Float[Tensor, "batch time dim"]
    ) -> Float[Tensor, "batch time dim"]:
        keys_values = self.ids_to_codes.keys_values(self.code_norm(codes))
        return ids + self.ids_to_codes.attend(self.id_norm(ids), keys_values, self._bias(ids))

    def _level_weights(self, ids: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time levels"]:
        return torch.softmax(self.gate(ids) + self.coarse_first, dim=-1)

    def _bias(self, x: Float[Tensor, "batch time dim"]) -> Float[Tensor, "heads time time"]:
        position = torch.arange(x.shape[1], device=x.device)
        return self.distance_bias(position, position)

    def _asking_states(self, batch: Batch) -> Float[Tensor, "batch states width"]:
        return self.conditions.add_request(self.history_states(batch), batch)

    # --- training and ranking -------------------------------------------------------------------------------------------

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Returns logits over all items at every target of the batch."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        has_target = batch.targets != PAD
        return TargetLogits(batch.targets[has_target], item_queries=self._asking_states(batch)[has_target])

    def masked_queries(self, batch: Batch) -> Float[Tensor, "targets dim"] | None:
        """The states of the branch of codes where the levels that the gate weighs least, half of them, are hidden.

        None where nothing can be hidden: for codes of one level, and without cross-attention.
        """
        num_hidden = self.tokens.shape[1] // 2
        if not self.cross_attention or not num_hidden:
            return None
        assert batch.targets is not None
        items = batch.history.clamp(min=0)
        ids, levels = self._ids_of(items), self._levels_of(items)
        least = self._level_weights(ids).topk(num_hidden, dim=-1, largest=False).indices
        hidden = torch.zeros(levels.shape[:-1], dtype=torch.bool, device=levels.device).scatter(-1, least, True)
        codes = torch.where(hidden.unsqueeze(-1), self.hidden_levels, levels).sum(-2)
        states = self._encode({1: self._ids_that_read_codes(ids, codes)}, batch)
        asked = self.conditions.add_request(torch.cat([torch.zeros_like(states), states], dim=-1), batch)
        return asked.chunk(2, -1)[1][batch.targets != PAD]

    def score(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """Scores of all items for the next position of each history."""
        states = self._asking_states(batch)
        last = states[torch.arange(len(batch), device=states.device), batch.lengths]
        return last @ self.item_table().T
