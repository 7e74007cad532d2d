"""moe: a decoder of experts that writes a session, several items one after another (OneRec, arXiv 2502.18965).

The history encoder and the decoder are those of ``encdec``, but each feed-forward layer of the decoder is a crowd of experts of
which a token asks two: many weights for the arithmetic of few. Trained by ``session_cross_entropy``, every state writes the
next ``session_len`` items, each given the history and the items of the session before it. ``decoding=session`` writes whole
sessions, every other strategy decodes the next item: the first of the session.

Departures from the paper: the encoder is causal, so that one pass trains a session at every state, where the paper encodes each
history anew; a session is the next items of the training sequence that were valued (``train.targets``; by default all of
them), fewer at its end; experts are balanced by biases (see ``Experts``). Preference alignment is an objective of its own
(``dpo``, ``ecpo``).
See docs/methods/onerec.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.errors import ConfigError
from genrec.nn.blocks import Experts
from genrec.nn.code_decoder import DecoderState
from genrec.nn.encoder_decoder import EncoderDecoder
from genrec.protocols import SessionLogits, TargetLogits
from genrec.types import PAD, Normalization


@dataclass(frozen=True, kw_only=True)
class SessionState(DecoderState):
    """The state of a beam search for an item of a session that is not its first.

    Args:
        slot: of the item, 1 or more.
        start: [batch, dim], the history state that starts the session.
        last_code: [batch, 1], of the item before it.
    """

    slot: int
    start: Tensor
    last_code: Tensor


class MoE(nn.Module):
    """``EncDec`` with experts in its decoder, which can go on after the first item.

    Args:
        dim: model width.
        num_heads: attention heads.
        num_history_layers: causal blocks over the history.
        num_decoder_layers: blocks over the codes of the session.
        feedforward_mult: width of the history's feed-forward layers and of each expert, in units of ``dim``.
        num_experts: experts of each decoder block.
        num_active: experts that a token asks, 1 to ``num_experts``.
        balance_rate: how fast loads are evened out, 0 (never) or more (see ``Experts``).
        session_len: items of a session, 1 or more; what ``objective=session_cross_entropy`` trains.
        dropout: in [0, 1).
        identity: add a gated identity embedding to each history item (see ``ItemEmbedding``).
        identity_dropout: probability of hiding an identity in training.
        normalization: "trie" (probabilities over the catalogue) or "codebook".
        max_history_len: longest history, in items.

    Raises:
        ConfigError: for numbers of experts or items that there cannot be.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids"})
    couples_rows: ClassVar[bool] = True  # experts are balanced by their loads in a batch
    codes: Tensor  # [items, levels]
    item_rows: ClassVar[frozenset[str]] = frozenset(f"encdec.{name}" for name in EncoderDecoder.item_rows)

    def __init__(
        self,
        *,
        sids: SIDTable,
        train_counts: np.ndarray | None = None,
        dim: int = 128,
        num_heads: int = 4,
        num_history_layers: int = 3,
        num_decoder_layers: int = 2,
        feedforward_mult: int = 2,
        num_experts: int = 24,
        num_active: int = 2,
        balance_rate: float = 0.01,
        session_len: int = 5,
        dropout: float = 0.2,
        identity: bool = False,
        identity_dropout: float = 0.1,
        normalization: Normalization = "trie",
        max_history_len: int = 50,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        self.check_settings(num_active=num_active, num_experts=num_experts)
        if session_len < 1:
            raise ConfigError("generator.session_len", expected="1 or more", got=session_len, fix="raise it")
        self.sids, self.normalization, self.max_history_len = sids, normalization, max_history_len
        self.session_len = session_len
        self.encdec = EncoderDecoder(
            sids=sids,
            schema=schema,
            train_counts=train_counts,
            dim=dim,
            num_heads=num_heads,
            num_history_layers=num_history_layers,
            num_decoder_layers=num_decoder_layers,
            feedforward_mult=feedforward_mult,
            dropout=dropout,
            identity=identity,
            identity_dropout=identity_dropout,
            normalization=normalization,
            max_history_len=max_history_len,
        )
        # A session goes on after the last code of an item, so every code has a row.
        self.encdec.decoder.code_embedding = nn.Embedding(sids.num_tokens, dim)
        nn.init.normal_(self.encdec.decoder.code_embedding.weight, std=0.2)
        for block in self.encdec.decoder.blocks:
            block.feedforward = Experts(
                dim=dim, mult=feedforward_mult, num_experts=num_experts, num_active=num_active, balance_rate=balance_rate
            )
        self.register_buffer("codes", torch.from_numpy(sids.codes.astype(np.int64)), persistent=False)
        self.slot_embedding = nn.Parameter(torch.randn(session_len - 1, dim) * 0.1)  # of all items but the first

    @staticmethod
    def check_settings(*, num_active: int, num_experts: int, **others: object) -> None:
        """Raises ConfigError for more active experts than there are."""
        if not 1 <= num_active <= num_experts:
            raise ConfigError("num_active", expected=f"1 to {num_experts} experts", got=num_active, fix="change it")

    # --- training -----------------------------------------------------------------------------------------------------

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Teacher-forced logits of every target of the batch: the first items of the sessions."""
        return self.encdec.target_logits(batch)

    def session_logits(self, batch: Batch) -> SessionLogits:
        """Teacher-forced logits of the sessions at all targets: each target and the targets that follow it in its row."""
        if batch.targets is None:
            raise ValueError("session_logits needs a batch with targets")
        session_states = _session_states(batch.targets != PAD, self.session_len)
        in_session = session_states != PAD

        def in_sessions(of_targets: Tensor) -> Tensor:
            return of_targets.gather(1, session_states.clamp(min=0).flatten(1)).view_as(session_states)

        sessions = in_sessions(batch.targets).masked_fill(~in_session, PAD)
        states = self.encdec.history_states(batch)
        asked = self.encdec.conditions.add_request(states, batch)
        decoded = self._decode(states, asked, sessions.clamp(min=0), in_session)[in_session]
        levels = tuple(head(decoded[:, level]) for level, head in enumerate(self.encdec.heads))
        slots = torch.arange(sessions.shape[-1], device=sessions.device).expand_as(sessions)
        weights = None if batch.weights is None else in_sessions(batch.weights)[in_session]
        return SessionLogits(sessions[in_session], levels, slots=slots[in_session], weights=weights)

    def _decode(
        self,
        states: Float[Tensor, "batch states dim"],
        asked: Float[Tensor, "batch states dim"],
        sessions: Int64[Tensor, "batch states slots"],
        in_session: Bool[Tensor, "batch states slots"],
    ) -> Float[Tensor, "batch states slots levels dim"]:
        """Returns the states that predict each code; they mean nothing where a session is not ``in_session``."""
        decoder, num_levels, length = self.encdec.decoder, self.sids.num_levels, sessions.shape[-1]
        tokens = self.encdec.item_embedding.tokens[sessions].flatten(2)
        before = F.pad(decoder.code_embedding(tokens[..., :-1]), (0, 0, 1, 0))  # of a later item, the last code before it
        slots = F.pad(self.slot_embedding[: length - 1], (0, 0, 1, 0))
        x = asked.unsqueeze(2) + (slots.unsqueeze(1) + decoder.level_embedding).flatten(0, 1) + before
        position = torch.arange(states.shape[1], device=states.device)
        bias = decoder.distance_bias(position.repeat_interleave(length * num_levels), position)
        asking = in_session.repeat_interleave(num_levels, dim=2)  # only these go to the experts, and count as their load
        for block in decoder.blocks:
            query, key, value = (part.flatten(0, 1).transpose(1, 2) for part in block.codes_qkv(x))
            attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
            attended = block.code_out(attended.transpose(1, 2).flatten(2)).view_as(x)
            history = block.to_history.keys_values(states)
            x = block.look_back(x.flatten(1, 2), attended.flatten(1, 2), history, bias).view_as(x)
            x = x.masked_scatter(asking.unsqueeze(-1), block.feed(x[asking]))
        return decoder.output_norm(x).unflatten(2, (length, num_levels))

    # --- decoding -----------------------------------------------------------------------------------------------------

    def prefill(self, batch: Batch) -> DecoderState:
        """Encodes each history once."""
        return self.encdec.prefill(batch)

    def step(
        self, state: DecoderState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], DecoderState]:
        """Returns logits of level ``state.level`` of the item that is being written for every beam."""
        hidden, after = self.hidden_step(state, codes)
        return self.code_head(state.level)(hidden), after

    def hidden_step(
        self, state: DecoderState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams dim"], DecoderState]:
        """Is ``step`` up to the map ``code_head(state.level)``."""
        return self.encdec.hidden_step(state, state.last_code if codes is None and isinstance(state, SessionState) else codes)

    def code_head(self, level: int) -> nn.Linear:
        """Returns the map to the logits of ``level``."""
        return self.encdec.code_head(level)

    def written(self, state: DecoderState, items: Int64[Tensor, " batch"]) -> SessionState:
        """Returns the state from which the item after ``items`` is written, given the state from which they were."""
        slot, start = (state.slot, state.start) if isinstance(state, SessionState) else (0, state.state)
        codes = self.codes[items]
        after = state
        for level in range(self.sids.num_levels):
            _, after = self.step(after, codes[:, level - 1 : level] if level else None)
        return SessionState(
            start + self.slot_embedding[slot],
            after.history,
            after.bias,
            after.codes,
            slot=slot + 1,
            start=start,
            last_code=codes[:, -1:],
        )

    def reorder(self, state: DecoderState, index: Int64[Tensor, "batch beams"]) -> DecoderState:
        """Beam ``j`` continues old beam ``index[:, j]``."""
        return self.encdec.reorder(state, index)


def _session_states(is_target: Bool[Tensor, "batch states"], session_len: int) -> Int64[Tensor, "batch states slots"]:
    """Returns where the items of the session that begins at each target stand, ``PAD`` behind its end and without a target.

    What is context only (``train.targets``) is no part of a session: it skips that, and goes on with the next target.
    """
    num_states = is_target.shape[1]
    state = torch.arange(num_states, device=is_target.device)
    in_order = torch.where(is_target, state, num_states).sort(dim=1).values  # the states of the targets, then none
    length = min(session_len, num_states)
    from_each = F.pad(in_order, (0, length - 1), value=num_states).unfold(1, length, 1)
    number = (is_target.cumsum(dim=1) - 1).clamp(min=0)
    sessions = from_each.gather(1, number.unsqueeze(-1).expand_as(from_each))
    return sessions.masked_fill((sessions == num_states) | ~is_target.unsqueeze(-1), PAD)
