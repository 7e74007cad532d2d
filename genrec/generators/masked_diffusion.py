"""masked_diffusion: fills in the codes of the next item in any order (DiffGRM, arXiv 2510.21805; MDGR, arXiv 2601.19501).

A decoder over the codes of ONE item, open in both directions, looks at the codes that are there, at masks where none is yet,
and at the history. Trained to restore hidden codes (``objective=masked_cross_entropy``), it gives the probability of any code
given any others, so that what is certain can be written first: ``decoding=masked_item``. Made for codes without order
(``tokenizer=opq``).

Written level by level the same probabilities are a chain rule, so every strategy for autoregressive generators decodes it too,
and items have an exact likelihood; only that training with ``mask: guided_least`` favours other orders.

Departures: one causal pass over a sequence trains every position (in DiffGRM each prefix is an example), the history state is
also added to each code's input, distance biases and zero-initialized blocks of this library; the number among items of equal
codes is no code that says something of others (``number_last``). See docs/methods/masked_diffusion.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.nn.blocks import CodeBlock
from genrec.nn.conditions import Conditions
from genrec.nn.history_encoder import HistoryEncoder
from genrec.protocols import TargetLogits
from genrec.types import PAD, Normalization


@dataclass(frozen=True)
class MaskedState:
    """Histories as the decoder sees them, and what a search that goes level by level has written.

    Args:
        start: [batch, 1, dim], or [batch, items, dim] where each item to be filled in has a history state of its own.
        history: per block, keys and values [batch, heads, states, dim / heads].
        bias: added to the attention to the history, broadcast to [batch, heads, items x levels, states].
        codes: [batch, beams, levels].
        level: the level that the next step predicts.
    """

    start: Tensor
    history: tuple[tuple[Tensor, Tensor], ...]
    bias: Tensor
    codes: Tensor
    level: int = 0


class MaskedDiffusion(nn.Module):
    """Restores hidden codes of the next item from the others.

    Args:
        dim: model width.
        num_heads: attention heads.
        num_history_layers: causal blocks over the history.
        num_decoder_layers: blocks over the codes of the item that is filled in.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        max_history_len: longest history, in items.
        normalization: softmax over the ``codebook``, or over the codes of the items that agree with what is shown (``trie``).
        number_last: write the number among items of equal codes (``collision=append_level``; the item's token of
            ``item_token``) when all codes are there, and predict no code from it. It means another item in every group.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids"})
    tokens: Tensor  # [items, levels], codes in one vocabulary
    offsets: Tensor  # [levels], where each level's codes begin in it
    blocks: Sequence[CodeBlock]  # an nn.ModuleList

    def __init__(
        self,
        *,
        sids: SIDTable,
        dim: int = 128,
        num_heads: int = 4,
        num_history_layers: int = 1,
        num_decoder_layers: int = 4,
        feedforward_mult: int = 4,
        dropout: float = 0.1,
        max_history_len: int = 50,
        normalization: Normalization = "codebook",
        number_last: bool = False,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        self.sids, self.max_history_len, self.normalization = sids, max_history_len, normalization
        self.last_level = sids.collision_level if number_last else None
        block: dict[str, Any] = {"dim": dim, "num_heads": num_heads, "feedforward_mult": feedforward_mult, "dropout": dropout}
        self.register_buffer("tokens", torch.from_numpy(sids.tokens), persistent=False)
        self.register_buffer("offsets", torch.from_numpy(sids.level_offsets[:-1]), persistent=False)
        self.code_embedding = nn.Embedding(sids.num_tokens + sids.num_levels, dim)  # the codes, then a mask for each level
        nn.init.normal_(self.code_embedding.weight, std=dim**-0.5)
        self.history = HistoryEncoder(num_layers=num_history_layers, max_history_len=max_history_len, **block)
        self.code_norm, self.output_norm = nn.LayerNorm(dim, bias=False), nn.LayerNorm(dim, bias=False)
        self.blocks = nn.ModuleList(CodeBlock(**block) for _ in range(num_decoder_layers))  # type: ignore[assignment]
        self.conditions = Conditions(schema=schema, dim=dim)

    def history_states(self, batch: Batch) -> Float[Tensor, "batch states dim"]:
        """State ``t`` has seen the start and the first ``t`` items."""
        items = self.code_embedding(self.tokens[batch.history.clamp(min=0)]).mean(-2)
        items = self.conditions.add_columns(items, batch)
        start = self.conditions.add_user(self.history.start, batch)
        return self.history(items.unsqueeze(2), start).squeeze(2)  # one token each

    # --- training -----------------------------------------------------------------------------------------------------

    def denoise(
        self, batch: Batch, codes: Int64[Tensor, "targets views levels"]
    ) -> tuple[Float[Tensor, "targets views _"], ...]:
        """Returns, level by level, logits of each view of every target of the batch."""
        if batch.targets is None:
            raise ValueError("denoise needs a batch with targets")
        states, has_target = self.history_states(batch), batch.targets != PAD
        _, num_views, num_levels = codes.shape
        views = codes.new_full((*has_target.shape, num_views, num_levels), PAD)
        views[has_target] = codes
        position = torch.arange(states.shape[1], device=states.device)
        state = MaskedState(
            start=self.conditions.add_request(states, batch).repeat_interleave(num_views, dim=1),
            history=tuple(block.to_history.keys_values(states) for block in self.blocks),
            bias=self.history.distance_bias(position.repeat_interleave(num_views * num_levels), position),
            codes=views.flatten(1, 2),
        )
        hidden = self._decode_views(state, state.codes).unflatten(1, (-1, num_views))[has_target]
        return tuple(self._logits(hidden[..., level, :], level) for level in range(num_levels))

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Teacher-forced logits of every target, each level given the codes before it: what level by level decoding gives."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        items = batch.targets[batch.targets != PAD]
        codes = (self.tokens[items] - self.offsets).unsqueeze(1).expand(-1, self.sids.num_levels, -1)
        before = torch.ones_like(codes[0], dtype=torch.bool).tril(-1)  # view l shows the codes of the levels before l
        logits = self.denoise(batch, codes.masked_fill(~before, PAD))
        return TargetLogits(items, tuple(level_logits[:, level] for level, level_logits in enumerate(logits)))

    # --- decoding -----------------------------------------------------------------------------------------------------

    def prefill(self, batch: Batch) -> MaskedState:
        """Encodes each history once."""
        states = self.history_states(batch)
        asked = self.conditions.add_request(states, batch)
        position = torch.arange(states.shape[1], device=states.device)
        bias = self.history.distance_bias.weight[:, (batch.lengths.unsqueeze(-1) - position).clamp(0, self.max_history_len)]
        outside = position > batch.lengths.unsqueeze(-1)  # [batch, states]
        return MaskedState(
            start=asked[torch.arange(len(batch), device=states.device), batch.lengths].unsqueeze(1),
            history=tuple(block.to_history.keys_values(states) for block in self.blocks),
            bias=bias.transpose(0, 1).masked_fill(outside.unsqueeze(1), float("-inf")).unsqueeze(2),
            codes=torch.full((len(batch), 1, self.sids.num_levels), PAD, device=states.device),
        )

    def fill(
        self, state: MaskedState, codes: Int64[Tensor, "batch beams levels"]
    ) -> tuple[Float[Tensor, "batch beams _"], ...]:
        """Returns, level by level, logits given the codes that are there (``PAD`` where none is yet)."""
        hidden = self._decode_views(state, codes)
        return tuple(self._logits(hidden[..., level, :], level) for level in range(self.sids.num_levels))

    def step(
        self, state: MaskedState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], MaskedState]:
        """Returns logits of level ``state.level``, the levels before it filled in and those behind it masked."""
        level, written = state.level, state.codes
        if codes is not None:
            written = torch.cat([written[..., : level - 1], codes.unsqueeze(-1), written[..., level:]], dim=-1)
        logits = self._logits(self._decode_views(state, written)[..., level, :], level)
        return logits, replace(state, codes=written, level=level + 1)

    def reorder(self, state: MaskedState, index: Int64[Tensor, "batch beams"]) -> MaskedState:
        """Beam ``j`` continues old beam ``index[:, j]``."""
        row = torch.arange(len(index), device=index.device).unsqueeze(-1)
        return replace(state, codes=state.codes[row, index])

    # --- both ---------------------------------------------------------------------------------------------------------

    def _decode_views(
        self, state: MaskedState, codes: Int64[Tensor, "batch items levels"]
    ) -> Float[Tensor, "batch items levels dim"]:
        """The decoder over items of which some codes are there."""
        num_levels = self.sids.num_levels
        masks = self.sids.num_tokens + torch.arange(num_levels, device=codes.device)
        tokens = torch.where(codes == PAD, masks, codes + self.offsets)
        x = state.start.unsqueeze(2) + self.code_norm(self.code_embedding(tokens))
        for block, history in zip(self.blocks, state.history, strict=True):
            query, key, value = block.codes_qkv(x)
            attended = [block.attend_codes(query[..., level, :, :], key, value) for level in range(num_levels)]
            x = block.finish(x.flatten(1, 2), torch.stack(attended, dim=2).flatten(1, 2), history, state.bias).view(x.shape)
        return self.output_norm(x)

    def _logits(self, hidden: Float[Tensor, "*rows dim"], level: int) -> Float[Tensor, "*rows size"]:
        """Tied to the code table."""
        first, end = (int(x) for x in self.sids.level_offsets[level : level + 2])
        return hidden @ self.code_embedding.weight[first:end].T
