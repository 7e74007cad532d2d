"""parallel: all codes of the next item at once, from one state (RPG, arXiv 2506.05781; see docs/methods/rpg.md).

An item is the mean of its code embeddings, a causal transformer reads the history, and a small head per level compares the
state with that level's codes by cosine, in the very table that the input uses. No code waits for another, so IDs may be long
and in no order (``tokenizer=opq``, 16 to 64 levels), and an item's log-probability is a sum of look-ups. ``exhaustive`` scores
the catalogue by them, ``parallel_graph`` a neighbourhood of it; every other strategy for generators of IDs works too, on the
same probabilities, but beams over levels in no order lose items.

Departures from the paper: distance biases and pre-norm blocks of this library instead of GPT-2's, a learned start state so that
empty histories work. ``identity`` (own addition, off) lets histories say who an item is beyond its codes.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.errors import ConfigError
from genrec.nn.code_decoder import ParallelCodes
from genrec.nn.conditions import Conditions
from genrec.nn.history_encoder import HistoryEncoder
from genrec.nn.item_embedding import ItemIdentity
from genrec.protocols import TargetLogits
from genrec.types import PAD, Normalization


class Parallel(ParallelCodes):
    """Predicts every code of the next item independently.

    Args:
        dim: model width.
        num_heads: attention heads.
        num_layers: causal blocks over the history.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: of item vectors and attention weights, in [0, 1); the residual paths have none, as published.
        temperature: what cosines are divided by, above 0.
        identity: add a gated identity embedding to each history item (see ``ItemIdentity``).
        identity_dropout: probability of hiding an identity in training.
        normalization: "codebook" as published (levels are independent), or "trie".
        max_history_len: longest history, in items.

    Raises:
        ConfigError: for a temperature that is not above 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids"})
    item_rows: ClassVar[frozenset[str]] = frozenset({"item_identity.identity.weight", "item_identity.gate"})
    tokens: Tensor  # [items, levels], codes in one vocabulary

    def __init__(
        self,
        *,
        sids: SIDTable,
        train_counts: np.ndarray | None = None,
        dim: int = 448,
        num_heads: int = 4,
        num_layers: int = 2,
        feedforward_mult: int = 2,
        dropout: float = 0.5,
        temperature: float = 0.07,
        identity: bool = False,
        identity_dropout: float = 0.1,
        normalization: Normalization = "codebook",
        max_history_len: int = 50,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ConfigError("generator.temperature", expected="above 0", got=temperature, fix="raise it")
        self.sids, self.normalization, self.max_history_len = sids, normalization, max_history_len
        self.temperature = temperature
        self.register_buffer("tokens", torch.from_numpy(sids.tokens), persistent=False)
        self.code_embedding = nn.Embedding(sids.num_tokens, dim)
        nn.init.normal_(self.code_embedding.weight, std=dim**-0.5)
        self.history = HistoryEncoder(
            dim=dim,
            num_heads=num_heads,
            num_layers=num_layers,
            feedforward_mult=feedforward_mult,
            dropout=dropout,
            residual_dropout=0.0,
            max_history_len=max_history_len,
        )
        self.heads = nn.Linear(dim, sids.num_levels * dim, bias=False)  # of all levels, side by side
        nn.init.zeros_(self.heads.weight)
        self.item_identity = ItemIdentity(
            num_items=sids.num_items,
            dim=dim,
            identity=identity,
            identity_dropout=identity_dropout,
            train_counts=train_counts,
        )
        self.conditions = Conditions(schema=schema, dim=dim)

    # --- training -----------------------------------------------------------------------------------------------------

    def history_states(self, batch: Batch) -> Float[Tensor, "batch states dim"]:
        """State ``t`` has seen the start and the first ``t`` items."""
        history = batch.history.clamp(min=0)
        items = self.item_identity.with_identity(self.code_embedding(self.tokens[history]).mean(-2), history)
        items = self.conditions.add_columns(items, batch)
        start = self.conditions.add_user(self.history.start, batch)
        return self.history(items.unsqueeze(2), start).squeeze(2)  # one token each

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Returns logits of every code at every target of the batch."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        has_target = batch.targets != PAD
        states = self.conditions.add_request(self.history_states(batch), batch)
        return TargetLogits(batch.targets[has_target], self._logits(states[has_target]))

    def _logits(self, states: Float[Tensor, "rows dim"]) -> tuple[Float[Tensor, "rows _"], ...]:
        heads = states.unsqueeze(1) + F.silu(self.heads(states)).unflatten(-1, (self.sids.num_levels, -1))
        queries = F.normalize(heads, dim=-1) / self.temperature
        return tuple(query @ codes.T for query, codes in zip(queries.unbind(1), self.code_vectors(), strict=True))

    # --- decoding -----------------------------------------------------------------------------------------------------

    def level_logits(self, batch: Batch) -> tuple[Float[Tensor, "batch _"], ...]:
        """Returns logits of all levels for the next item of each history."""
        states = self.conditions.add_request(self.history_states(batch), batch)
        return self._logits(states[torch.arange(len(batch), device=states.device), batch.lengths])
