"""A causal encoder over items and a decoder that writes codes: the whole of ``encdec``, which other generators build on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.nn.attention import required_times
from genrec.nn.code_decoder import CodeDecoder, DecoderState
from genrec.nn.conditions import Conditions
from genrec.nn.history_encoder import HistoryEncoder
from genrec.nn.item_embedding import ItemEmbedding
from genrec.protocols import TargetLogits
from genrec.types import PAD, Normalization


class EncoderDecoder(nn.Module):
    """Encodes histories once and writes codes level by level; ``EncDec`` says what the parameters mean."""

    needs: ClassVar[frozenset[str]] = frozenset({"sids"})
    runtimes: ClassVar[frozenset[str]] = frozenset({"onnx"})  # that its graphs can be exported to
    item_rows: ClassVar[frozenset[str]] = frozenset({"item_embedding.identity.weight", "item_embedding.gate"})
    heads: Sequence[nn.Linear]  # an nn.ModuleList

    def __init__(
        self,
        *,
        sids: SIDTable,
        train_counts: np.ndarray | None = None,
        dim: int = 128,
        num_heads: int = 4,
        num_history_layers: int = 3,
        num_decoder_layers: int = 2,
        feedforward_mult: int = 4,
        dropout: float = 0.2,
        identity: bool = True,
        identity_dropout: float = 0.1,
        item_head: bool = False,
        normalization: Normalization = "trie",
        time_gaps: bool = False,
        max_history_len: int = 50,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        self.sids, self.normalization, self.max_history_len = sids, normalization, max_history_len
        shape: dict[str, Any] = {"dim": dim, "num_heads": num_heads, "feedforward_mult": feedforward_mult}
        shape |= {"dropout": dropout, "max_history_len": max_history_len}
        self.item_embedding = ItemEmbedding(
            sids=sids, dim=dim, identity=identity, identity_dropout=identity_dropout, train_counts=train_counts
        )
        self.history = HistoryEncoder(num_layers=num_history_layers, time_gaps=time_gaps, **shape)
        self.needs_times = time_gaps  # every history that it is asked about must then have times
        self.decoder = CodeDecoder(sids=sids, num_layers=num_decoder_layers, **shape)
        self.heads = nn.ModuleList(nn.Linear(dim, size) for size in sids.sizes)  # type: ignore[assignment]
        self.item_query = nn.Linear(dim, dim, bias=False) if item_head else None
        for head in self.heads:
            nn.init.zeros_(head.weight)  # every code starts equally likely
        self.conditions = Conditions(schema=schema, dim=dim)

    @property
    def has_item_head(self) -> bool:
        return self.item_query is not None

    def history_states(self, batch: Batch) -> Float[Tensor, "batch states dim"]:
        """State ``t`` has seen the start and the first ``t`` items; states beyond a history are meaningless but harmless."""
        items = self.conditions.add_columns(self.item_embedding(batch.history.clamp(min=0)), batch)
        start = self.conditions.add_user(self.history.start, batch)
        times = required_times(batch) if self.needs_times else None
        return self.history(items.unsqueeze(2), start, times).squeeze(2)  # one token each

    # --- training -----------------------------------------------------------------------------------------------------

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Teacher-forced logits of every target of the batch, in one pass."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        states, has_target = self.history_states(batch), batch.targets != PAD
        written = self.item_embedding.tokens[batch.targets.clamp(min=0)][..., :-1]
        asked = self.conditions.add_request(states, batch)
        hidden = self.decoder(asked, states.unsqueeze(2), written)[has_target]  # [targets, levels, dim]
        levels = tuple(head(hidden[:, level]) for level, head in enumerate(self.heads))
        queries = None if self.item_query is None else self.item_query(asked[has_target])
        return TargetLogits(batch.targets[has_target], levels, queries)

    # --- decoding -----------------------------------------------------------------------------------------------------

    def prefill(self, batch: Batch) -> DecoderState:
        """Encodes each history once."""
        states = self.history_states(batch)
        return self.decoder.prefill(self.conditions.add_request(states, batch), states.unsqueeze(2), batch.lengths)

    def step(
        self, state: DecoderState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], DecoderState]:
        """Returns logits of level ``state.level`` for every beam, given the code each beam chose last."""
        hidden, after = self.hidden_step(state, codes)
        return self.heads[state.level](hidden), after

    def hidden_step(
        self, state: DecoderState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams dim"], DecoderState]:
        """Is ``step`` up to the map ``code_head(state.level)``."""
        return self.decoder.step(state, codes)

    def code_head(self, level: int) -> nn.Linear:
        """Returns the map to the logits of ``level``."""
        return self.heads[level]

    def reorder(self, state: DecoderState, index: Int64[Tensor, "batch beams"]) -> DecoderState:
        """Beam ``j`` continues old beam ``index[:, j]``."""
        return state.reordered(index)

    # --- dense head ---------------------------------------------------------------------------------------------------

    def item_scores(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """The dense head's logits of all items for the next position of each history."""
        assert self.item_query is not None, "trained without item_head"
        states = self.conditions.add_request(self.history_states(batch), batch)
        last = states[torch.arange(states.shape[0], device=states.device), batch.lengths]
        return self.item_query(last) @ self.item_table().T

    def item_table(self) -> Float[Tensor, "items dim"]:
        """Vectors of all items for the dense head: the input embedding, so that an unseen item has one too."""
        return self.item_embedding.table()

    def lookup(self, items: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        """Some rows of ``item_table``."""
        return self.item_embedding(items)
