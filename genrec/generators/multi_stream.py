"""multi_stream: histories in which an item has several IDs, one of which is generated (MSCGRec, arXiv 2602.03713).

Every item of a history is one token per stream of the table of semantic IDs: the one that is generated, and those that a
tokenizer such as ``multi_stream`` made beside it from text, images or co-occurrence. In training whole streams of single items
are dropped, so that an item with a missing side is nothing new. Only codes that exist below a prefix share its probability.

Departures from the paper: the codes of a stream are summed into one token (three streams: three tokens an item, not twelve); a
causal encoder in place of T5's, so that one pass trains every position; the two relative positions, across items and within
one, are this library's distance bias and a bias per pair of streams. See docs/methods/mscgrec.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable, Stream
from genrec.errors import ConfigError
from genrec.nn.code_decoder import CodeDecoder, DecoderState
from genrec.nn.conditions import Conditions
from genrec.nn.history_encoder import HistoryEncoder
from genrec.protocols import TargetLogits
from genrec.types import PAD, Normalization


class MultiStream(nn.Module):
    """Reads all streams, writes one.

    Args:
        dim: model width.
        num_heads: attention heads.
        num_history_layers: causal blocks over the history.
        num_decoder_layers: blocks over the codes of the item being written.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        stream_dropout: probability that an item of a history comes without a stream, each by itself, in training; in [0, 1).
        normalization: "trie" as published (probabilities over the catalogue), or "codebook".
        max_history_len: longest history, in items.

    Raises:
        ConfigError: for a table with a single stream, or a rate out of range.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids"})
    runtimes: ClassVar[frozenset[str]] = frozenset({"onnx"})  # that its graphs can be exported to

    heads: Sequence[nn.Linear]  # an nn.ModuleList

    def __init__(
        self,
        *,
        sids: SIDTable,
        dim: int = 128,
        num_heads: int = 4,
        num_history_layers: int = 3,
        num_decoder_layers: int = 2,
        feedforward_mult: int = 4,
        dropout: float = 0.2,
        stream_dropout: float = 0.1,
        normalization: Normalization = "trie",
        max_history_len: int = 50,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        if not sids.streams:
            fix = "use tokenizer=multi_stream, or generator=encdec"
            raise ConfigError("sids for multi_stream", expected="several streams of codes", got="one", fix=fix)
        if not 0 <= stream_dropout < 1:
            fix = "change it"
            raise ConfigError("generator.stream_dropout", expected="a rate in [0, 1)", got=stream_dropout, fix=fix)
        self.sids, self.normalization, self.max_history_len = sids, normalization, max_history_len
        self.stream_dropout = stream_dropout
        streams: tuple[SIDTable | Stream, ...] = (sids, *sids.streams.values())
        self.code_embeddings = nn.ModuleList(nn.Embedding(stream.num_tokens, dim) for stream in streams)
        for number, stream in enumerate(streams):
            nn.init.normal_(self.code_embeddings[number].weight, std=(dim * len(stream.sizes)) ** -0.5)  # type: ignore[arg-type]
            self.register_buffer(f"tokens_{number}", torch.from_numpy(stream.tokens), persistent=False)
        self.absent = nn.Parameter(torch.randn(len(streams), dim) * dim**-0.5)  # in place of a stream that is not there
        shape: dict[str, Any] = {"dim": dim, "num_heads": num_heads, "feedforward_mult": feedforward_mult}
        shape |= {"dropout": dropout, "max_history_len": max_history_len}
        self.history = HistoryEncoder(num_layers=num_history_layers, num_tokens=len(streams), **shape)
        self.decoder = CodeDecoder(sids=sids, num_layers=num_decoder_layers, **shape)
        self.heads = nn.ModuleList(nn.Linear(dim, size) for size in sids.sizes)  # type: ignore[assignment]
        for head in self.heads:
            nn.init.zeros_(head.weight)  # every code starts equally likely
        self.conditions = Conditions(schema=schema, dim=dim)

    def stream_vectors(self, items: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape streams dim"]:
        """A vector for each stream of each item: the sum of its codes, or the one that says there are none."""
        vectors = []
        for number, embedding in enumerate(self.code_embeddings):
            tokens = self.get_buffer(f"tokens_{number}")[items]
            there = tokens[..., :1] != PAD
            if self.training and self.stream_dropout:
                there = there & (torch.rand(there.shape, device=there.device) >= self.stream_dropout)
            vectors.append(torch.where(there, embedding(tokens.clamp(min=0)).sum(-2), self.absent[number]))
        return torch.stack(vectors, dim=-2)

    def _memory(self, batch: Batch) -> Float[Tensor, "batch states streams dim"]:
        items = self.conditions.add_columns(self.stream_vectors(batch.history.clamp(min=0)), batch)
        return self.history(items, self.conditions.add_user(self.history.start, batch))

    # --- training -----------------------------------------------------------------------------------------------------

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Teacher-forced logits of every target of the batch, in one pass."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        memory = self._memory(batch)
        has_target = batch.targets != PAD
        written = self.get_buffer("tokens_0")[batch.targets.clamp(min=0)][..., :-1]
        asked = self.conditions.add_request(memory[:, :, 0], batch)
        hidden = self.decoder(asked, memory, written)[has_target]  # [targets, levels, dim]
        levels = tuple(head(hidden[:, level]) for level, head in enumerate(self.heads))
        return TargetLogits(batch.targets[has_target], levels)

    # --- decoding -----------------------------------------------------------------------------------------------------

    def prefill(self, batch: Batch) -> DecoderState:
        """Encodes each history once."""
        memory = self._memory(batch)
        return self.decoder.prefill(self.conditions.add_request(memory[:, :, 0], batch), memory, batch.lengths)

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
