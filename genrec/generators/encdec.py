"""encdec: a causal encoder over items and a small decoder that writes the next item's codes (default generator).

One token per history item (the sum of its code embeddings), so a history of T items costs T positions, not T x levels; and
since the encoder is causal, ONE pass over a sequence trains the prediction of every item in it. This is the "cheaper variant"
of ``decoder_only`` in the design notes' brief; the optional identity embedding and dense item head follow the H2Rec and LIGER
briefs. Departures from those are this project's own and are measured in RESULTS.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from genrec.batch import Batch
from genrec.nn.attention import DistanceBias
from genrec.nn.blocks import CodeBlock, HistoryBlock
from genrec.nn.code_cache import CodeCache
from genrec.nn.code_decoder import DecoderState
from genrec.nn.dropout import Dropout
from genrec.nn.item_embedding import ItemEmbedding
from genrec.protocols import TargetLogits
from genrec.sids import SIDTable
from genrec.types import PAD, Normalization


class EncDec(nn.Module):
    """The default generator.

    Args:
        dim: model width.
        num_heads: attention heads.
        num_history_layers: causal blocks over the history.
        num_decoder_layers: blocks over the codes of the item being written.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        identity: add a gated identity embedding to each history item (see ``ItemEmbedding``).
        identity_dropout: probability of hiding an identity in training.
        item_head: also score whole items from the history state (a joint dense head, trained by ``item_weight``).
        normalization: "trie" (probabilities over the catalogue) or "codebook".
        max_history_len: longest history, in items.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids"})
    item_rows: ClassVar[frozenset[str]] = frozenset({"item_embedding.identity.weight", "item_embedding.gate"})
    code_blocks: Sequence[CodeBlock]  # these two are nn.ModuleLists
    heads: Sequence[nn.Linear]

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
        identity: bool = False,
        identity_dropout: float = 0.1,
        item_head: bool = False,
        normalization: Normalization = "trie",
        max_history_len: int = 50,
    ) -> None:
        super().__init__()
        self.sids, self.normalization, self.max_history_len = sids, normalization, max_history_len
        block: dict[str, Any] = {"dim": dim, "num_heads": num_heads, "feedforward_mult": feedforward_mult, "dropout": dropout}
        self.item_embedding = ItemEmbedding(
            sids=sids, dim=dim, identity=identity, identity_dropout=identity_dropout, train_counts=train_counts
        )
        self.start = nn.Parameter(torch.randn(dim) * dim**-0.5)  # the state before any item: empty histories work
        self.input_dropout = Dropout(dropout)
        self.input_norm, self.history_norm, self.code_norm = (
            nn.LayerNorm(dim, bias=False),
            nn.LayerNorm(dim, bias=False),
            nn.LayerNorm(dim, bias=False),
        )
        self.distance_bias = DistanceBias(num_heads=num_heads, max_distance=max_history_len)
        self.history_blocks = nn.ModuleList(HistoryBlock(**block) for _ in range(num_history_layers))

        self.level_embedding = nn.Parameter(torch.randn(sids.num_levels, dim) * 0.1)
        self.code_embedding = nn.Embedding(sids.num_tokens, dim)
        self.code_blocks = nn.ModuleList(CodeBlock(**block) for _ in range(num_decoder_layers))  # type: ignore[assignment]
        self.heads = nn.ModuleList(nn.Linear(dim, size) for size in sids.sizes)  # type: ignore[assignment]
        self.item_query = nn.Linear(dim, dim, bias=False) if item_head else None
        nn.init.normal_(self.code_embedding.weight, std=0.2)
        for head in self.heads:
            nn.init.zeros_(head.weight)  # every code starts equally likely

    @property
    def has_item_head(self) -> bool:
        return self.item_query is not None

    # --- history ------------------------------------------------------------------------------------------------------

    def history_states(self, batch: Batch) -> Float[Tensor, "batch states dim"]:
        """State ``t`` has seen the start and the first ``t`` items; states beyond a history are meaningless but harmless."""
        items = self.item_embedding(batch.history.clamp(min=0))
        start = self.start.expand(items.shape[0], 1, -1)  # not len(batch): exporters give symbols for sizes
        x = self.input_dropout(self.input_norm(torch.cat([start, items], dim=1)))
        position = torch.arange(x.shape[1], device=x.device)
        bias = self.distance_bias(position, position)
        for block in self.history_blocks:
            x = block(x, bias)
        return self.history_norm(x)

    # --- training -----------------------------------------------------------------------------------------------------

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Teacher-forced logits of every target of the batch, in one pass."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        states = self.history_states(batch)
        wanted = batch.targets != PAD
        items = batch.targets[wanted]
        decoded = self._decode_all(states, batch.targets.clamp(min=0))[wanted]  # [targets, levels, dim]
        levels = tuple(head(decoded[:, level]) for level, head in enumerate(self.heads))
        return TargetLogits(items, levels, None if self.item_query is None else self.item_query(states[wanted]))

    def _decode_all(
        self, states: Float[Tensor, "batch states dim"], targets: Int64[Tensor, "batch states"]
    ) -> Float[Tensor, "batch states levels dim"]:
        num_users, num_states, _ = states.shape
        num_levels = self.sids.num_levels
        tokens = self.item_embedding.tokens[targets][..., :-1]
        previous = torch.cat([states.new_zeros(states.shape).unsqueeze(2), self.code_embedding(tokens)], dim=2)
        x = states.unsqueeze(2) + self.level_embedding + previous  # [batch, states, levels, dim]

        position = torch.arange(num_states, device=states.device)
        bias = self.distance_bias(position.repeat_interleave(num_levels), position)  # query (t, level) sees states <= t
        for block in self.code_blocks:
            query, key, value = block.codes_qkv(x)
            attended = torch.stack(
                [
                    block.attend_codes(query[:, :, level], key[:, :, : level + 1], value[:, :, : level + 1])
                    for level in range(num_levels)
                ],
                dim=2,
            )
            history = block.to_history.keys_values(states)
            x = block.finish(x.flatten(1, 2), attended.flatten(1, 2), history, bias).view(num_users, num_states, num_levels, -1)
        return self.code_norm(x)

    # --- decoding -----------------------------------------------------------------------------------------------------

    def prefill(self, batch: Batch) -> DecoderState:
        """Encodes each history once."""
        states = self.history_states(batch)
        position = torch.arange(states.shape[1], device=states.device)
        bias = self.distance_bias.weight[:, (batch.lengths.unsqueeze(-1) - position).clamp(0, self.max_history_len)]
        outside = position > batch.lengths.unsqueeze(-1)  # [batch, states]
        bias = bias.transpose(0, 1).masked_fill(outside.unsqueeze(1), float("-inf")).unsqueeze(2)
        return DecoderState(
            state=states[torch.arange(states.shape[0], device=states.device), batch.lengths],
            history=tuple(block.to_history.keys_values(states) for block in self.code_blocks),
            bias=bias,
            codes=tuple(CodeCache() for _ in self.code_blocks),
        )

    def step(
        self, state: DecoderState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], DecoderState]:
        """Logits of level ``state.level`` for every beam, given the code each beam chose last."""
        x = (state.state + self.level_embedding[state.level]).unsqueeze(1)  # [batch, 1 or beams, dim]
        if codes is not None:
            x = x + self.code_embedding(codes + int(self.sids.level_offsets[state.level - 1]))
        cache: list[CodeCache] = []
        for block, history, written in zip(self.code_blocks, state.history, state.codes, strict=True):
            query, key, value = block.codes_qkv(x)
            cache.append(written.written(key, value))
            x = block.finish(x, block.code_out(cache[-1].attend(query, query.shape[-1] ** -0.5)), history, state.bias)
        logits = self.heads[state.level](self.code_norm(x))
        return logits, replace(state, codes=tuple(cache), level=state.level + 1)

    def reorder(self, state: DecoderState, index: Int64[Tensor, "batch beams"]) -> DecoderState:
        """Beam ``j`` continues old beam ``index[:, j]``."""
        return state.reordered(index)

    # --- dense head ---------------------------------------------------------------------------------------------------

    def item_scores(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """The dense head's logits of all items for the next position of each history."""
        assert self.item_query is not None, "trained without item_head"
        states = self.history_states(batch)
        last = states[torch.arange(states.shape[0], device=states.device), batch.lengths]
        return self.item_query(last) @ self.item_table().T

    def item_table(self) -> Float[Tensor, "items dim"]:
        """Vectors of all items for the dense head: the input embedding, so that an unseen item has one too."""
        return self.item_embedding.table()
