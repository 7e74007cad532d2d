"""How the codes of an item are predicted: ``CodeDecoder`` one after another, ``ParallelCodes`` all levels at once.

``CodeDecoder`` leaves the logits of a code to the model that uses it. Steps of ``ParallelCodes`` look logits up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.sids import SIDTable
from genrec.nn.attention import CodeCache, DistanceBias
from genrec.nn.blocks import CodeBlock


@dataclass(frozen=True)
class DecoderState:
    """What a beam search carries. Everything per USER is stored once; only the codes' keys and values grow per beam.

    Args:
        state: [batch, dim], the history state that starts the item.
        history: per block, keys and values [batch, heads, tokens, dim / heads].
        bias: [batch, heads, 1, tokens], distance bias; -inf beyond each history.
        codes: per block, keys and values of the codes so far.
        level: the level of the next step.
    """

    state: Tensor
    history: tuple[tuple[Tensor, Tensor], ...]
    bias: Tensor
    codes: tuple[CodeCache, ...]
    level: int = 0

    def reordered(self, index: Int64[Tensor, "batch beams"]) -> DecoderState:
        """Beam ``j`` continues old beam ``index[:, j]``."""
        return replace(self, codes=tuple(cache.reordered(index) for cache in self.codes))


class CodeDecoder(nn.Module):
    """A hidden state for each level of the next item, from the history and the codes before that level.

    Args:
        sids: whose codes are written.
        dim: width.
        num_heads: attention heads.
        num_layers: blocks.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        max_history_len: longest history, in items.
    """

    blocks: Sequence[CodeBlock]  # an nn.ModuleList

    def __init__(
        self,
        *,
        sids: SIDTable,
        dim: int,
        num_heads: int,
        num_layers: int,
        feedforward_mult: int,
        dropout: float,
        max_history_len: int,
    ) -> None:
        super().__init__()
        self.level_offsets = sids.level_offsets
        self.level_embedding = nn.Parameter(torch.randn(sids.num_levels, dim) * 0.1)
        self.code_embedding = nn.Embedding(int(sids.level_offsets[-2]), dim)  # nothing is written after the last level
        nn.init.normal_(self.code_embedding.weight, std=0.2)
        self.distance_bias = DistanceBias(num_heads=num_heads, max_distance=max_history_len)
        self.blocks = nn.ModuleList(  # type: ignore[assignment]
            CodeBlock(dim=dim, num_heads=num_heads, feedforward_mult=feedforward_mult, dropout=dropout)
            for _ in range(num_layers)
        )
        self.output_norm = nn.LayerNorm(dim, bias=False)

    def forward(
        self,
        states: Float[Tensor, "batch states dim"],
        memory: Float[Tensor, "batch states tokens dim"],
        written: Int64[Tensor, "batch states codes"],
    ) -> Float[Tensor, "batch states levels dim"]:
        """Teacher-forced: all levels of the item after every state.

        Args:
            states: that each item starts from.
            memory: what is attended to, up to and with each state's own tokens.
            written: the codes of all levels but the last, in one vocabulary (``SIDTable.tokens``).
        """
        num_states, num_levels = states.shape[1], len(self.level_embedding)
        before = torch.cat([torch.zeros_like(states).unsqueeze(2), self.code_embedding(written)], dim=2)
        x = states.unsqueeze(2) + self.level_embedding + before  # [batch, states, levels, dim]
        position = torch.arange(num_states, device=states.device)
        bias = self.distance_bias(position.repeat_interleave(num_levels), position.repeat_interleave(memory.shape[2]))
        memory = memory.flatten(1, 2)
        for block in self.blocks:
            query, key, value = block.codes_qkv(x)
            attended = torch.stack(
                [
                    block.attend_codes(query[:, :, level], key[:, :, : level + 1], value[:, :, : level + 1])
                    for level in range(num_levels)
                ],
                dim=2,
            )
            x = block.finish(x.flatten(1, 2), attended.flatten(1, 2), block.to_history.keys_values(memory), bias)
            x = x.unflatten(1, (num_states, num_levels))
        return self.output_norm(x)

    def prefill(
        self,
        states: Float[Tensor, "batch states dim"],
        memory: Float[Tensor, "batch states tokens dim"],
        lengths: Int64[Tensor, " batch"],
    ) -> DecoderState:
        """Starts the item after the last state of each history."""
        position = torch.arange(states.shape[1], device=states.device).repeat_interleave(memory.shape[2])
        distance = lengths.unsqueeze(-1) - position  # [batch, tokens]
        bias = self.distance_bias.weight[:, distance.clamp(0, self.distance_bias.max_distance)].transpose(0, 1)
        memory = memory.flatten(1, 2)
        return DecoderState(
            state=states[torch.arange(states.shape[0], device=states.device), lengths],
            history=tuple(block.to_history.keys_values(memory) for block in self.blocks),
            bias=bias.masked_fill((distance < 0).unsqueeze(1), float("-inf")).unsqueeze(2),
            codes=tuple(CodeCache() for _ in self.blocks),
        )

    def step(
        self, state: DecoderState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams dim"], DecoderState]:
        """The hidden state of level ``state.level`` for every beam, given the code each beam chose last."""
        x = (state.state + self.level_embedding[state.level]).unsqueeze(1)  # [batch, 1 or beams, dim]
        if codes is not None:
            before = (state.level - 1) % len(self.level_embedding)  # at level 0, the last code of another item
            x = x + self.code_embedding(codes + int(self.level_offsets[before]))
        cache: list[CodeCache] = []
        for block, history, written in zip(self.blocks, state.history, state.codes, strict=True):
            query, key, value = block.codes_qkv(x)
            cache.append(written.written(key, value))
            x = block.finish(x, block.code_out(cache[-1].attend(query, query.shape[-1] ** -0.5)), history, state.bias)
        return self.output_norm(x), replace(state, codes=tuple(cache), level=state.level + 1)


@dataclass(frozen=True)
class ParallelState:
    """The logits of all levels of the next item, which no beam changes.

    Args:
        logits: per level [batch, 1, size].
        level: the level of the next step.
    """

    logits: tuple[Tensor, ...]
    level: int = 0


class ParallelCodes(nn.Module, ABC):
    """A ``ParallelGenerator``, and a ``MaskedGenerator`` that reads nothing of what is filled, from its ``level_logits``."""

    sids: SIDTable
    code_embedding: nn.Embedding  # all levels in one vocabulary

    @abstractmethod
    def level_logits(self, batch: Batch) -> tuple[Float[Tensor, "batch _"], ...]:
        """Returns logits of all levels for the next item of each history."""

    def code_vectors(self) -> tuple[Float[Tensor, "_ dim"], ...]:
        """The unit vectors of each level's codes."""
        return F.normalize(self.code_embedding.weight, dim=-1).split(self.sids.sizes)

    def prefill(self, batch: Batch) -> ParallelState:
        """Predicts the logits of all levels."""
        return ParallelState(tuple(logits.unsqueeze(1) for logits in self.level_logits(batch)))

    def step(
        self, state: ParallelState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], ParallelState]:
        """The logits of level ``state.level``, the same for every beam."""
        num_beams = 1 if codes is None else codes.shape[1]
        return state.logits[state.level].expand(-1, num_beams, -1), replace(state, level=state.level + 1)

    def reorder(self, state: ParallelState, index: Int64[Tensor, "batch beams"]) -> ParallelState:
        """Beams share everything."""
        return state

    def fill(
        self, state: ParallelState, codes: Int64[Tensor, "batch beams levels"]
    ) -> tuple[Float[Tensor, "batch beams _"], ...]:
        """The logits of all levels, whatever is filled."""
        return tuple(logits.expand(-1, codes.shape[1], -1) for logits in state.logits)
