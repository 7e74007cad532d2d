"""hybrid_attention: the codes of an item see each other, and all items before (RecGPT, arXiv 2506.06270).

Every code of a history is a token, to which a projection of the item's content vector is added: a second, continuous way in,
which says what the codes round away. Attention is causal from item to item and open among the tokens of one item, so the state
at a token has seen its whole item; the states of item t predict the codes of item t + 1 all at once, each its own level. Any
search for ``parallel`` decodes it. New items need no training: they have codes and a vector.

Departures from the paper: each level reads the whole vector by a projection of its own, where RecGPT cuts the vector into as
many parts as there are codes (its codes are of those parts; ours need not be); a table of code embeddings for each level, tied
to the output; one learned bias per head and distance in items instead of absolute positions, which makes the mask and leaves
padding without effect; a learned start, so that empty histories work; ``identity`` (own addition, off). See
docs/methods/recgpt.md.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.nn.attention import DistanceBias
from genrec.nn.blocks import Dropout, HistoryBlock
from genrec.nn.code_decoder import ParallelCodes
from genrec.nn.conditions import Conditions
from genrec.nn.item_embedding import ItemIdentity
from genrec.protocols import TargetLogits
from genrec.types import PAD, Normalization


class HybridAttention(ParallelCodes):
    """Predicts every code of the next item from the state of the last item's code of that level.

    Args:
        item_vectors: [items, any], what the encoder says of each item; facts of the catalogue, not weights.
        dim: model width.
        num_heads: attention heads.
        num_layers: blocks.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        identity: add a gated identity embedding to each history item (see ``ItemIdentity``).
        identity_dropout: probability of hiding an identity in training.
        normalization: "codebook" as published (levels are independent), or "trie".
        max_history_len: longest history, in items; attention is over that many times the number of levels.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids", "encoder"})
    item_rows: ClassVar[frozenset[str]] = frozenset({"item_identity.identity.weight", "item_identity.gate"})
    tokens: Tensor  # [items, levels], codes in one vocabulary
    item_vectors: Tensor

    def __init__(
        self,
        *,
        sids: SIDTable,
        item_vectors: np.ndarray,
        train_counts: np.ndarray | None = None,
        dim: int = 128,
        num_heads: int = 4,
        num_layers: int = 3,
        feedforward_mult: int = 4,
        dropout: float = 0.2,
        identity: bool = False,
        identity_dropout: float = 0.1,
        normalization: Normalization = "codebook",
        max_history_len: int = 50,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        self.sids, self.normalization, self.max_history_len = sids, normalization, max_history_len
        # Facts of the table and the encoder, not weights: they follow them when items are added.
        self.register_buffer("tokens", torch.from_numpy(sids.tokens), persistent=False)
        self.register_buffer("item_vectors", torch.from_numpy(np.array(item_vectors, dtype=np.float32)), persistent=False)
        self.code_embedding = nn.Embedding(sids.num_tokens, dim)
        nn.init.normal_(self.code_embedding.weight, std=dim**-0.5)
        self.vector_parts = nn.Linear(self.item_vectors.shape[1], sids.num_levels * dim, bias=False)
        self.start = nn.Parameter(torch.randn(sids.num_levels, dim))  # the item before any: empty histories work
        self.code_norm, self.vector_norm, self.output_norm = (
            nn.LayerNorm(dim, bias=False),
            nn.LayerNorm(dim, bias=False),
            nn.LayerNorm(dim, bias=False),
        )
        self.input_dropout = Dropout(dropout)
        self.distance_bias = DistanceBias(num_heads=num_heads, max_distance=max_history_len)
        self.blocks = nn.ModuleList(
            HistoryBlock(dim=dim, num_heads=num_heads, feedforward_mult=feedforward_mult, dropout=dropout)
            for _ in range(num_layers)
        )
        self.item_identity = ItemIdentity(
            num_items=sids.num_items,
            dim=dim,
            identity=identity,
            identity_dropout=identity_dropout,
            train_counts=train_counts,
        )
        self.conditions = Conditions(schema=schema, dim=dim)

    def history_states(self, batch: Batch) -> Float[Tensor, "batch states levels dim"]:
        """The states of item ``t`` have seen the start and the first ``t`` items, that one whole."""
        items, num_levels = batch.history.clamp(min=0), self.sids.num_levels
        codes = self.code_norm(self.code_embedding(self.tokens[items]))
        vectors = self.vector_norm(self.vector_parts(self.item_vectors[items]).unflatten(-1, (num_levels, -1)))
        # One identity an item, in front of all its codes.
        tokens = self.item_identity.with_identity(codes + vectors, items.unsqueeze(-1))
        start = self.conditions.add_user(self.start, batch).unsqueeze(1)
        x = torch.cat([start, self.conditions.add_columns(tokens, batch)], dim=1)
        x = self.input_dropout(x).flatten(1, 2)
        # Places count items: the tokens of one item are at distance 0 and see each other, later ones are out of sight.
        item_position = torch.arange(batch.history.shape[1] + 1, device=x.device).repeat_interleave(num_levels)
        bias = self.distance_bias(item_position, item_position)
        for block in self.blocks:
            x = block(x, bias)
        return self.output_norm(x).unflatten(1, (-1, num_levels))

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Returns logits of every code at every target of the batch."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        has_target = batch.targets != PAD
        states = self.conditions.add_request(self.history_states(batch), batch)
        return TargetLogits(batch.targets[has_target], self._logits(states[has_target]))

    def level_logits(self, batch: Batch) -> tuple[Float[Tensor, "batch _"], ...]:
        """Returns logits of all levels for the next item of each history."""
        states = self.conditions.add_request(self.history_states(batch), batch)
        return self._logits(states[torch.arange(len(batch), device=states.device), batch.lengths])

    def _logits(self, states: Float[Tensor, "rows levels dim"]) -> tuple[Float[Tensor, "rows _"], ...]:
        tables = self.code_embedding.weight.split(self.sids.sizes)
        return tuple(state @ codes.T for state, codes in zip(states.unbind(1), tables, strict=True))
