"""cobra: a coarse semantic ID, then a dense vector that chooses among the items which share it (COBRA, arXiv 2503.02453).

Items of a history are two tokens each, e_1 v_1 e_2 v_2 ...: the codes of the ID, and the item's vector. From the state after an
item a decoder writes the next ID, code by code, and from the state after the ID a vector; the items with that ID are ranked by
their cosine with it. The catalogue's vectors are projections of the encoder's, so an item that came later has one too.

Exact here, where the paper multiplies two softmaxes over what a beam found (BeamFusion): the last level of the IDs, which
numbers the items of a group (``collision=append_level``), is neither read nor written as a code. Its logits are the cosines of
the items that have the ID, so p(item) = p(ID) p(item | ID) sums to one over the catalogue, and every strategy for generators of
IDs decodes it. BeamFusion's temperatures (.9 on IDs, 16 on cosines, our .1 being 10) had nothing to add: on 1,000 validation
users of amazon18_scientific N@10 was .0540 with them, .0567 without.

Other departures: the text encoder is not trained, a projection of its vectors is; no ANN index, since groups are small; the
decoder is this library's, apart from the history's blocks. All of them: docs/methods/cobra.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.nn.code_decoder import CodeDecoder, DecoderState
from genrec.nn.conditions import Conditions
from genrec.nn.history_encoder import HistoryEncoder
from genrec.nn.in_batch import in_batch_cross_entropy, log_frequencies
from genrec.nn.item_embedding import ItemEmbedding
from genrec.nn.trie_likelihood import TrieWalk, scatter_children
from genrec.protocols import TargetLogits
from genrec.types import PAD, Normalization


@dataclass(frozen=True)
class CobraState:
    """The state of a beam search.

    Args:
        decoder: the codes so far.
        nodes: [batch, beams], where each beam's prefix stands in the trie; ``PAD`` off the catalogue.
    """

    decoder: DecoderState
    nodes: Tensor


class Cobra(nn.Module):
    """Codes of a coarse ID one after another, then an item by its vector.

    Args:
        item_vectors: [items, any], what the encoder says of each item.
        dim: model width, and that of the vectors.
        num_heads: attention heads.
        num_history_layers: causal blocks over the history.
        num_decoder_layers: blocks over the ID being written.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        identity: add a gated identity embedding to each item's vector (see ``ItemEmbedding``), read and compared.
        identity_dropout: probability of hiding an identity in training.
        temperature: what cosines are divided by, above 0.
        learn_temperature: start there and learn it.
        dense_weight: of the loss on vectors against all targets of a batch, whatever their IDs; the loss within an ID is the
            last level's. 0 or more.
        dense_negatives: of that loss: "all" other targets of the batch, those of "other_users", or the latter with "log_q",
            corrected for their popularity (see ``InBatchContrastive``).
        normalization: "trie" (probabilities over the catalogue) or "codebook"; the last level knows the trie only.
        max_history_len: longest history, in items.

    Raises:
        ConfigError: for a table without a last level that tells the items of an ID apart, or a number out of range.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids", "encoder"})
    item_rows: ClassVar[frozenset[str]] = frozenset({"id_embedding.identity.weight", "id_embedding.gate"})
    couples_rows: ClassVar[bool] = True  # the loss on vectors contrasts the targets of a batch
    log_frequency: Tensor  # [items]; read in training only
    item_vectors: Tensor  # [items, width]

    def __init__(
        self,
        *,
        sids: SIDTable,
        trie: PrefixTrie,
        item_vectors: np.ndarray,
        train_counts: np.ndarray | None = None,
        dim: int = 128,
        num_heads: int = 4,
        num_history_layers: int = 3,
        num_decoder_layers: int = 2,
        feedforward_mult: int = 4,
        dropout: float = 0.2,
        identity: bool = False,
        identity_dropout: float = 0.1,
        temperature: float = 0.1,
        learn_temperature: bool = False,
        dense_weight: float = 1.0,
        dense_negatives: Literal["all", "other_users", "log_q"] = "all",
        normalization: Normalization = "trie",
        max_history_len: int = 50,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ConfigError("generator.temperature", expected="above 0", got=temperature, fix="raise it")
        if dense_weight < 0:
            raise ConfigError("generator.dense_weight", expected="0 or more", got=dense_weight, fix="raise it")
        if trie.max_group > 1 or sids.num_levels < 2:
            raise ConfigError(
                "sids for cobra",
                expected="a level of IDs, and a last one that tells their items apart",
                got=f"{sids.num_levels} levels, up to {trie.max_group} items with the same codes",
                fix="use collision=append_level",
            )
        self.sids, self.normalization, self.max_history_len = sids, normalization, max_history_len
        self.temperature, self.dense_weight, self.walk = temperature, dense_weight, TrieWalk(trie)
        self.dense_negatives = dense_negatives
        # The log of the factor on 1 / temperature.
        self.sharpness = nn.Parameter(torch.zeros(())) if learn_temperature else None
        counts = np.zeros(sids.num_items) if train_counts is None else np.asarray(train_counts)
        self.register_buffer("log_frequency", log_frequencies(counts), persistent=False)
        # Facts of the catalogue, not weights: they follow it when items are added.
        self.register_buffer("item_vectors", torch.from_numpy(np.array(item_vectors, dtype=np.float32)), persistent=False)
        coarse = SIDTable(sids.codes[:, :-1], sids.sizes[:-1])
        self.id_embedding = ItemEmbedding(
            sids=coarse, dim=dim, identity=identity, identity_dropout=identity_dropout, train_counts=train_counts
        )
        self.projection = nn.Linear(self.item_vectors.shape[1], dim, bias=False)
        shape: dict[str, Any] = {"dim": dim, "num_heads": num_heads, "feedforward_mult": feedforward_mult}
        shape |= {"dropout": dropout, "max_history_len": max_history_len}
        self.history = HistoryEncoder(num_layers=num_history_layers, num_tokens=2, **shape)
        self.decoder = CodeDecoder(sids=sids, num_layers=num_decoder_layers, **shape)
        self.heads = nn.ModuleList(nn.Linear(dim, size) for size in coarse.sizes)
        self.query = nn.Linear(dim, dim, bias=False)
        for head in self.heads:
            nn.init.zeros_(head.weight)  # type: ignore[arg-type]  # every code starts equally likely
        self.conditions = Conditions(schema=schema, dim=dim)

    # --- training -----------------------------------------------------------------------------------------------------

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Returns teacher-forced logits of every target of the batch and the loss of picking its vector among the batch's."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        memory = self._memory(batch)
        has_target = batch.targets != PAD
        items = batch.targets[has_target]
        written = self.id_embedding.tokens[batch.targets.clamp(min=0)]
        asked = self.conditions.add_request(memory[:, :, -1], batch)
        hidden = self.decoder(asked, memory, written)[has_target]  # [targets, levels, dim]
        levels = [head(hidden[:, level]) for level, head in enumerate(self.heads)]
        queries, table = self._queries(hidden[:, -1]), self.item_table()
        levels.append(self._logits_below(queries, table, self.walk.of(items.device).paths(items)[:, -2]))
        dense = self._dense_loss(queries, table, batch.targets)
        return TargetLogits(items, tuple(levels), auxiliary={"dense": self.dense_weight * dense})

    def _dense_loss(
        self, queries: Float[Tensor, "targets dim"], table: Float[Tensor, "items dim"], targets: Int64[Tensor, "batch states"]
    ) -> Float[Tensor, ""]:
        """Returns the loss of picking each target's vector among those of the batch."""
        if self.dense_negatives == "all":
            others, labels = targets[targets != PAD].unique(return_inverse=True)
            return F.cross_entropy((queries @ table[others].T).float(), labels)
        log_frequency = self.log_frequency if self.dense_negatives == "log_q" else None
        return in_batch_cross_entropy(queries, table, targets, log_frequency)

    def item_table(self) -> Float[Tensor, "items dim"]:
        """The unit vectors of all items."""
        return F.normalize(self._vectors_of(torch.arange(len(self.item_vectors), device=self.item_vectors.device)), dim=-1)

    def _memory(self, batch: Batch) -> Float[Tensor, "batch states tokens dim"]:
        items = batch.history.clamp(min=0)
        tokens = torch.stack([self.id_embedding.sum_of_codes(items), self._vectors_of(items)], dim=2)
        return self.history(self.conditions.add_columns(tokens, batch), self.conditions.add_user(self.history.start, batch))

    def _vectors_of(self, items: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape dim"]:
        return self.id_embedding.with_identity(self.projection(F.normalize(self.item_vectors[items], dim=-1)), items)

    def _queries(self, hidden: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        queries = F.normalize(self.query(hidden), dim=-1) / self.temperature
        return queries if self.sharpness is None else queries * self.sharpness.exp()

    def _logits_below(
        self, queries: Float[Tensor, "*rows dim"], table: Float[Tensor, "items dim"], nodes: Int64[Tensor, "*rows"]
    ) -> Float[Tensor, "*rows size"]:
        """Returns logits of the numbers of the items below ``nodes`` (complete IDs but for the number)."""
        child, code_slots = self.walk.children(nodes, self.sids.num_levels - 1)
        trie = self.walk.of(nodes.device)
        items = trie.items[trie.first_item[child]].long()
        return scatter_children((table[items] @ queries.unsqueeze(-1)).squeeze(-1), code_slots, self.sids.sizes[-1])

    # --- decoding -----------------------------------------------------------------------------------------------------

    def prefill(self, batch: Batch) -> CobraState:
        """Encodes each history once."""
        memory = self._memory(batch)
        nodes = torch.zeros(len(batch), 1, dtype=torch.long, device=memory.device)
        asked = self.conditions.add_request(memory[:, :, -1], batch)
        return CobraState(self.decoder.prefill(asked, memory, batch.lengths), nodes)

    def step(
        self, state: CobraState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], CobraState]:
        """Returns logits of the next level for every beam, given the code each beam chose last."""
        level = state.decoder.level
        if codes is not None:
            state = replace(state, nodes=self.walk.advance(state.nodes, codes, level - 1))
        hidden, decoder = self.decoder.step(state.decoder, codes)
        if level == len(self.heads):
            logits = self._logits_below(self._queries(hidden), self.item_table(), state.nodes)
        else:
            logits = self.heads[level](hidden)
        return logits, replace(state, decoder=decoder)

    def reorder(self, state: CobraState, index: Int64[Tensor, "batch beams"]) -> CobraState:
        """Beam ``j`` continues old beam ``index[:, j]``."""
        return CobraState(state.decoder.reordered(index), state.nodes.gather(1, index))
