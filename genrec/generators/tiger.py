"""tiger: generative retrieval with a T5 over SID tokens (arXiv 2305.05065), on ``transformers``' T5.

A bidirectional encoder reads the levels x items tokens of the history and a decoder writes the next item's codes; every prefix
of a sequence is an example of its own. Departures from the paper: no user token (the better-tested recipe of 2412.08604 has
none either; docs/methods/tiger.md), a start token before the history so that empty ones work, the softmax of a
level runs over that level's codes, and decoding is constrained to the catalogue's trie.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.nn.attention import CodeCache
from genrec.nn.blocks import Dropout
from genrec.nn.conditions import Conditions
from genrec.protocols import TargetLogits
from genrec.types import PAD, Normalization


@dataclass(frozen=True)
class T5State:
    """The state of a beam search: the history once per user, the codes so far per beam.

    Args:
        history: per decoder layer, keys and values [batch, heads, tokens, head_dim].
        mask: [batch, 1, 1, tokens], 0 at tokens and -inf at padding.
        codes: per decoder layer, keys and values of the codes so far.
        asked: [batch, 1, dim], what the request adds to the decoder's states.
        level: the level that the next step predicts.
    """

    history: tuple[tuple[Tensor, Tensor], ...]
    mask: Tensor
    codes: tuple[CodeCache, ...]
    asked: Tensor
    level: int = 0


class Tiger(nn.Module):
    """T5 encoder-decoder over semantic-ID tokens.

    Args:
        dim: model width.
        num_heads: attention heads.
        head_dim: width of a head (T5 does not tie it to ``dim``).
        num_encoder_layers: encoder blocks.
        num_decoder_layers: decoder blocks.
        feedforward_dim: width of the feed-forward layers.
        dropout: in [0, 1).
        normalization: "codebook" as published, or "trie".
        max_history_len: longest history, in items.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids"})
    tokens: Tensor  # [items, levels], codes in one vocabulary

    def __init__(
        self,
        *,
        sids: SIDTable,
        dim: int = 128,
        num_heads: int = 6,
        head_dim: int = 64,
        num_encoder_layers: int = 4,
        num_decoder_layers: int = 4,
        feedforward_dim: int = 1024,
        dropout: float = 0.1,
        normalization: Normalization = "codebook",
        max_history_len: int = 20,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        from transformers import T5Config, T5Model  # slow to import: paid only by those who build a T5

        self.sids, self.normalization, self.max_history_len = sids, normalization, max_history_len
        self.register_buffer("tokens", torch.from_numpy(sids.tokens), persistent=False)
        self.pad_token, self.start_token = sids.num_tokens, sids.num_tokens + 1
        self.t5: Any = T5Model(
            T5Config(
                vocab_size=sids.num_tokens + 2,
                d_model=dim,
                d_kv=head_dim,
                d_ff=feedforward_dim,
                num_layers=num_encoder_layers,
                num_decoder_layers=num_decoder_layers,
                num_heads=num_heads,
                dropout_rate=dropout,
                pad_token_id=self.pad_token,
                eos_token_id=None,
            )
        )
        for module in list(self.t5.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.Dropout):
                    setattr(module, name, Dropout(dropout))  # T5's own dominates a training step on a CPU
        # One table, under one name: safetensors refuses tensors that share memory.
        self.t5.encoder.embed_tokens = self.t5.decoder.embed_tokens = None  # type: ignore[assignment]
        self.conditions = Conditions(schema=schema, dim=dim)

    # --- training -----------------------------------------------------------------------------------------------------

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Teacher-forced logits; each target is an example with its own history, as in the paper."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        row, state = (batch.targets != PAD).nonzero(as_tuple=True)
        items = batch.targets[row, state]
        # Prefixes of all lengths stand in a batch: encoded in a few groups of similar length, half of the padding is saved.
        order = state.argsort(stable=True)
        decoded = torch.cat([self._decoded(batch.at_states(row[part], state[part]), items[part]) for part in order.chunk(4)])
        decoded = decoded[order.argsort()]
        return TargetLogits(items, tuple(self._logits(decoded[:, level], level) for level in range(self.sids.num_levels)))

    def _decoded(self, batch: Batch, items: Int64[Tensor, " examples"]) -> Float[Tensor, "examples levels dim"]:
        """Teacher-forced decoder states of ``items``, each after the history of its row."""
        encoded, mask = self._encode(batch)
        start = torch.full((len(items), 1), self.start_token, device=items.device)
        written = torch.cat([start, self.tokens[items][:, :-1]], dim=1)
        decoded = self.t5.decoder(
            inputs_embeds=self.t5.shared(written),
            encoder_hidden_states=encoded,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        return self.conditions.add_request(decoded.unsqueeze(1), batch).squeeze(1)

    def _encode(self, batch: Batch) -> tuple[Float[Tensor, "batch tokens dim"], Int64[Tensor, "batch tokens"]]:
        """States of a start token and the codes of each history's last items; and which tokens exist."""
        used_length = batch.lengths.clamp(max=self.max_history_len)
        column = torch.arange(int(used_length.max()) if len(used_length) else 0, device=batch.history.device)
        inside = column < used_length.unsqueeze(1)
        index = torch.where(inside, (batch.lengths - used_length).unsqueeze(1) + column, 0)
        items = batch.history.gather(1, index) if batch.history.shape[1] else index
        tokens = torch.where(inside.unsqueeze(-1), self.tokens[items.clamp(min=0)], self.pad_token).flatten(1)
        start = torch.full((len(batch), 1), self.start_token, device=batch.history.device)
        tokens = torch.cat([start, tokens], dim=1)
        mask = (tokens != self.pad_token).long()
        embedded = self.t5.shared(tokens)
        if self.conditions.schema:
            embedded = self._add_known(embedded, batch, index)
        return self.t5.encoder(inputs_embeds=embedded, attention_mask=mask).last_hidden_state, mask

    def _add_known(
        self, embedded: Float[Tensor, "batch tokens dim"], batch: Batch, index: Int64[Tensor, "batch time"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """Adds the user to the start token, and the columns of the events at ``index`` to all codes of their items."""
        events = replace(batch, columns={name: values.gather(1, index) for name, values in batch.columns.items()})
        codes = embedded[:, 1:].unflatten(1, (index.shape[1], self.sids.num_levels))
        codes = self.conditions.add_columns(codes, events).flatten(1, 2)
        start = self.conditions.add_user(self.t5.shared.weight[self.start_token], batch)
        return torch.cat([start.unsqueeze(1), codes], dim=1)

    def _logits(self, hidden: Float[Tensor, "*rows dim"], level: int) -> Float[Tensor, "*rows size"]:
        """Tied output embedding of the level's codes, scaled as T5 scales a tied head."""
        first, end = (int(x) for x in self.sids.level_offsets[level : level + 2])
        return hidden * hidden.shape[-1] ** -0.5 @ self.t5.shared.weight[first:end].T

    # --- decoding -----------------------------------------------------------------------------------------------------
    # T5's own cache keeps a copy of the history per beam. Here its weights are run with the history once per user.

    def prefill(self, batch: Batch) -> T5State:
        """Encodes each history once, and projects it to every decoder layer's keys and values."""
        encoded, mask = self._encode(batch)
        cross = [block.layer[1].EncDecAttention for block in self.t5.decoder.block]
        return T5State(
            history=tuple(
                (_heads(layer.k(encoded), layer).transpose(1, 2), _heads(layer.v(encoded), layer).transpose(1, 2))
                for layer in cross
            ),
            mask=encoded.new_zeros(mask.shape).masked_fill(mask == 0, float("-inf"))[:, None, None, :],
            codes=tuple(CodeCache() for _ in cross),
            asked=self.conditions.add_request(encoded.new_zeros(len(batch), 1, encoded.shape[-1]), batch),
        )

    def step(
        self, state: T5State, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], T5State]:
        """Returns logits of level ``state.level`` for every beam, given the code each beam chose last."""
        if codes is None:
            token = torch.full((len(state.mask), 1), self.start_token, device=state.mask.device)
        else:
            token = codes + int(self.sids.level_offsets[state.level - 1])
        decoder = self.t5.decoder
        x = self.t5.shared(token)
        first = decoder.block[0].layer[0].SelfAttention
        bias = first.compute_bias(state.level + 1, state.level + 1)[0, :, -1]  # [heads, codes]
        cache: list[CodeCache] = []
        for block, history, written in zip(decoder.block, state.history, state.codes, strict=True):
            self_attention, cross, feedforward = block.layer[0], block.layer[1], block.layer[2]
            attention, y = self_attention.SelfAttention, self_attention.layer_norm(x)
            query, key, value = (_heads(project(y), attention) for project in (attention.q, attention.k, attention.v))
            cache.append(written.written(key, value))
            x = x + attention.o(cache[-1].attend(query, bias=bias))

            attention = cross.EncDecAttention
            query = _heads(attention.q(cross.layer_norm(x)), attention).transpose(1, 2)
            # T5 does not scale its logits.
            attended = nn.functional.scaled_dot_product_attention(query, *history, attn_mask=state.mask, scale=1.0)
            x = x + attention.o(attended.transpose(1, 2).flatten(2))
            x = feedforward(x)
        logits = self._logits(decoder.final_layer_norm(x) + state.asked, state.level)
        return logits, replace(state, codes=tuple(cache), level=state.level + 1)

    def reorder(self, state: T5State, index: Int64[Tensor, "batch beams"]) -> T5State:
        """Beam ``j`` continues old beam ``index[:, j]``; the history is not copied."""
        return replace(state, codes=tuple(cache.reordered(index) for cache in state.codes))


def _heads(x: Float[Tensor, "*rows inner"], attention: Any) -> Float[Tensor, "*rows heads head_dim"]:
    return x.unflatten(-1, (attention.n_heads, attention.key_value_proj_dim))
