"""decoder_only: a GPT over the stream of semantic-ID tokens (own design; see docs/methods/decoder_only.md).

The stream is a start token and then the codes of every item, level by level; each token predicts the next one. One causal pass
trains every code of every item, and a softmax runs over the codes of the level that the position tells. A history of T items
costs T x levels positions, which ``encdec`` (one token an item) does not pay; what it buys is attention to single codes.

What differs from the usual GPT: distance biases over token positions instead of rotary ones, LayerNorm and GELU as everywhere
here, no level embedding (a token is a code OF a level), and the first item is a target too, predicted from the start alone.
Columns of an event are added to the LAST code of its item: what reads that code has the whole item behind it, while its earlier
codes still predict the rest of the item and must not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.nn.attention import CodeCache, DistanceBias
from genrec.nn.blocks import Dropout, HistoryBlock
from genrec.nn.conditions import Conditions
from genrec.protocols import TargetLogits
from genrec.types import Normalization


@dataclass(frozen=True)
class StreamState:
    """What a beam search carries. The history is stored once per USER; only the codes' keys and values grow per beam.

    Args:
        hidden: [batch, 1, dim] of the history's last token, which predicts level 0.
        history: per block, keys and values [batch, heads, tokens, dim / heads].
        bias: [batch, heads, levels, tokens], distance bias from each code to come; -inf beyond each history.
        codes: per block, keys and values of the codes so far.
        asked: [batch, 1, dim], what the request adds to the states of all levels.
        level: the level that the next step predicts.
    """

    hidden: Tensor
    history: tuple[tuple[Tensor, Tensor], ...]
    bias: Tensor
    codes: tuple[CodeCache, ...]
    asked: Tensor
    level: int = 0


class DecoderOnly(nn.Module):
    """A causal transformer over codes.

    Args:
        dim: model width.
        num_heads: attention heads.
        num_layers: causal blocks.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        normalization: "trie" (probabilities over the catalogue) or "codebook".
        max_history_len: longest history, in items; the stream has as many tokens per item as there are levels.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids"})
    tokens: Tensor  # [items, levels], codes in one vocabulary
    blocks: Sequence[HistoryBlock]  # these two are nn.ModuleLists
    heads: Sequence[nn.Linear]

    def __init__(
        self,
        *,
        sids: SIDTable,
        dim: int = 128,
        num_heads: int = 4,
        num_layers: int = 4,
        feedforward_mult: int = 4,
        dropout: float = 0.2,
        normalization: Normalization = "trie",
        max_history_len: int = 20,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        self.sids, self.normalization, self.max_history_len = sids, normalization, max_history_len
        self.register_buffer("tokens", torch.from_numpy(sids.tokens), persistent=False)
        self.code_embedding = nn.Embedding(sids.num_tokens, dim)
        nn.init.normal_(self.code_embedding.weight, std=dim**-0.5)
        self.start = nn.Parameter(torch.randn(dim) * dim**-0.5)  # the token before any item: empty histories work
        self.input_dropout = Dropout(dropout)
        self.input_norm, self.output_norm = nn.LayerNorm(dim, bias=False), nn.LayerNorm(dim, bias=False)
        self.distance_bias = DistanceBias(num_heads=num_heads, max_distance=(max_history_len + 1) * sids.num_levels - 1)
        self.blocks = nn.ModuleList(  # type: ignore[assignment]
            HistoryBlock(dim=dim, num_heads=num_heads, feedforward_mult=feedforward_mult, dropout=dropout)
            for _ in range(num_layers)
        )
        self.heads = nn.ModuleList(nn.Linear(dim, size) for size in sids.sizes)  # type: ignore[assignment]
        for head in self.heads:
            nn.init.zeros_(head.weight)  # every code starts equally likely
        self.conditions = Conditions(schema=schema, dim=dim)

    # --- training -----------------------------------------------------------------------------------------------------

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Teacher-forced logits of every target: one pass where the targets are what the histories go on with."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        streams, row, state = batch.streams()
        hidden = self.conditions.add_request(self._hidden(streams), streams)[row, state]  # [targets, levels, dim]
        return TargetLogits(streams.history[row, state], tuple(head(hidden[:, level]) for level, head in enumerate(self.heads)))

    def _hidden(self, streams: Batch) -> Float[Tensor, "rows states levels dim"]:
        """Returns the states that predict each code of sequences."""
        x = self._embed(streams)[:, :-1]
        position = torch.arange(x.shape[1], device=x.device)
        bias = self.distance_bias(position, position)
        for block in self.blocks:
            x = block(x, bias)
        return self.output_norm(x).unflatten(1, (-1, self.sids.num_levels))

    def _embed(self, batch: Batch) -> Float[Tensor, "rows tokens dim"]:
        """The start and the codes of histories, as the first block reads them."""
        codes = self.code_embedding(self.tokens[batch.history.clamp(min=0)])
        if self.conditions.schema.columns:
            codes = torch.cat([codes[:, :, :-1], self.conditions.add_columns(codes[:, :, -1:], batch)], dim=2)
        start = self.conditions.add_user(self.start, batch).unsqueeze(1)
        return self.input_dropout(self.input_norm(torch.cat([start, codes.flatten(1, 2)], dim=1)))

    # --- decoding -----------------------------------------------------------------------------------------------------

    def prefill(self, batch: Batch) -> StreamState:
        """Reads each history once."""
        x, history = self._embed(batch), []
        position = torch.arange(x.shape[1], device=x.device)
        bias = self.distance_bias(position, position)
        for block in self.blocks:
            x, keys_values = block.read(x, bias)
            history.append(keys_values)
        end = batch.lengths * self.sids.num_levels  # position of the last token
        distance = end.unsqueeze(1) - position  # [batch, tokens]
        later = distance.unsqueeze(1) + torch.arange(self.sids.num_levels, device=x.device).unsqueeze(1)
        bias = self.distance_bias.weight[:, later.clamp(0, self.distance_bias.max_distance)].transpose(0, 1)
        return StreamState(
            hidden=self.output_norm(x[torch.arange(len(batch), device=x.device), end]).unsqueeze(1),
            history=tuple(history),
            bias=bias.masked_fill((distance < 0)[:, None, None], float("-inf")),
            codes=tuple(CodeCache() for _ in self.blocks),
            asked=self.conditions.add_request(x.new_zeros(len(batch), 1, x.shape[-1]), batch),
        )

    def step(
        self, state: StreamState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], StreamState]:
        """Returns logits of level ``state.level`` for every beam, given the code each beam chose last."""
        hidden, after = self.hidden_step(state, codes)
        return self.heads[state.level](hidden), after

    def hidden_step(
        self, state: StreamState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams dim"], StreamState]:
        """Is ``step`` up to the map ``code_head(state.level)``."""
        level, hidden, cache = state.level, state.hidden, list(state.codes)
        if codes is not None:
            x = self.input_norm(self.code_embedding(codes + int(self.sids.level_offsets[level - 1])))
            past, bias_within = state.bias[:, :, level : level + 1], self.distance_bias.weight[:, :level].flip(1)
            for number, (block, history) in enumerate(zip(self.blocks, state.history, strict=True)):
                x, cache[number] = block.branch(x, history, past, cache[number], bias_within)
            hidden = self.output_norm(x)
        return hidden + state.asked, replace(state, codes=tuple(cache), level=level + 1)

    def code_head(self, level: int) -> nn.Linear:
        """Returns the map to the logits of ``level``."""
        return self.heads[level]

    def reorder(self, state: StreamState, index: Int64[Tensor, "batch beams"]) -> StreamState:
        """Beam ``j`` continues old beam ``index[:, j]``; the history is not copied."""
        return replace(state, codes=tuple(cache.reordered(index) for cache in state.codes))
