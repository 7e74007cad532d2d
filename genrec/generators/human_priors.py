"""human_priors: a light head per group of items or events, and a gate that says which group comes next (arXiv 2511.10492).

Something that people know of items (how popular they are, what they are for) or of events (their kind, whether they follow soon
or late) sorts targets into groups; that of an event is read from its columns, in training alone. The decoder's states
pass through a small adapter per group before the codes are predicted, and a gate reads the group from the history. In training
the target's group is given, as its codes are, so each head learns from targets of its own group and the gate from all;
afterwards nobody knows the group, and the probability of an item is the mixture sum_g pi_g p_g(item).

The mixture is exact under any search: by the chain rule p(code | prefix) = sum_g p(g | prefix) p_g(code | prefix), where the
gate's weights, multiplied by what each head gave to the prefix, are the posterior p(g | prefix) that a beam carries along.

Departures from the paper: codes of semantic IDs instead of item vectors, one prior at a time (its stacked heads for pairs of
priors are left out), this library's backbone instead of HSTU, and the gate (the paper leaves the fusion open). See
docs/methods/human_priors.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.event_schema import Column, EventSchema
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.nn.code_decoder import CodeDecoder, DecoderState
from genrec.nn.conditions import Conditions
from genrec.nn.history_encoder import HistoryEncoder
from genrec.nn.item_embedding import ItemEmbedding
from genrec.nn.trie_likelihood import NO_ITEM, TrieWalk, scatter_children
from genrec.protocols import TargetLogits
from genrec.types import PAD, Normalization

POPULARITY = "popularity"


@dataclass(frozen=True)
class MixtureState:
    """The state of a beam search.

    Args:
        decoder: the codes so far.
        nodes: [batch, beams], where each beam's prefix stands in the trie; ``PAD`` off the catalogue.
        log_weights: [batch, beams, groups], of each group given history and prefix.
        log_probs: [batch, beams, groups, size], what each head said of the last level's codes; None at the start.
    """

    decoder: DecoderState
    nodes: Tensor
    log_weights: Tensor
    log_probs: Tensor | None = None


class HumanPriors(nn.Module):
    """A mixture of heads over one backbone.

    Args:
        prior: what sorts targets into groups: "popularity" (equally many training events a group, the most popular items
            first); a label of the catalogue's items, "category" or "brand", or a ``category`` column of ``events.columns`` (the
            most frequent ones; all others are the last group); "timestamp", where that is such a column (by the gap since the
            event before, equally many training events a group, the shortest first; unknown gaps are the last group).
        num_groups: heads, 2 or more.
        rank: width of an adapter.
        gate_weight: of the gate's cross-entropy, 0 or more.
        dim: model width.
        num_heads: attention heads.
        num_history_layers: causal blocks over the history.
        num_decoder_layers: blocks over the codes of the item being written.
        feedforward_mult: width of the feed-forward layers, in units of ``dim``.
        dropout: in [0, 1).
        identity: add a gated identity embedding to each history item (see ``ItemEmbedding``).
        identity_dropout: probability of hiding an identity in training.
        normalization: "trie" (probabilities over the catalogue) or "codebook"; of every head by itself.
        max_history_len: longest history, in items.

    Raises:
        ConfigError: for a prior that the catalogue does not know, or fewer than two groups.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"sids"})
    item_rows: ClassVar[frozenset[str]] = frozenset({"item_embedding.identity.weight", "item_embedding.gate"})
    groups: Tensor  # [items], or [codes] of the prior's column; read in training only

    def __init__(
        self,
        *,
        sids: SIDTable,
        trie: PrefixTrie,
        train_counts: np.ndarray | None = None,
        item_labels: Mapping[str, np.ndarray] | None = None,
        event_counts: Mapping[str, np.ndarray] | None = None,
        prior: str = POPULARITY,
        num_groups: int = 4,
        rank: int = 32,
        gate_weight: float = 0.1,
        dim: int = 128,
        num_heads: int = 4,
        num_history_layers: int = 3,
        num_decoder_layers: int = 2,
        feedforward_mult: int = 4,
        dropout: float = 0.2,
        identity: bool = False,
        identity_dropout: float = 0.1,
        normalization: Normalization = "trie",
        max_history_len: int = 50,
        schema: EventSchema | None = None,
    ) -> None:
        super().__init__()
        if num_groups < 2:
            raise ConfigError("generator.num_groups", expected="at least 2", got=num_groups, fix="raise it")
        if gate_weight < 0:
            raise ConfigError("generator.gate_weight", expected="0 or more", got=gate_weight, fix="raise it")
        self.sids, self.normalization, self.max_history_len = sids, normalization, max_history_len
        self.num_groups, self.gate_weight, self.walk = num_groups, gate_weight, TrieWalk(trie)
        counts = np.zeros(sids.num_items) if train_counts is None else np.asarray(train_counts)
        column = None if prior == POPULARITY or prior in (item_labels or ()) else (schema or EventSchema()).with_codes(prior)
        self.target_columns = () if column is None else (column.name,)
        if column is None:
            groups = groups_of(prior, num_groups, counts, item_labels, () if schema is None else schema.coded)
        else:
            groups = groups_of_codes(column, num_groups, None if event_counts is None else event_counts[column.name])
        self.register_buffer("groups", torch.from_numpy(groups), persistent=False)
        self.item_embedding = ItemEmbedding(
            sids=sids, dim=dim, identity=identity, identity_dropout=identity_dropout, train_counts=train_counts
        )
        shape: dict[str, Any] = {"dim": dim, "num_heads": num_heads, "feedforward_mult": feedforward_mult}
        shape |= {"dropout": dropout, "max_history_len": max_history_len}
        self.history = HistoryEncoder(num_layers=num_history_layers, **shape)
        self.decoder = CodeDecoder(sids=sids, num_layers=num_decoder_layers, **shape)
        self.gate = nn.Linear(dim, num_groups)
        self.narrow = nn.Linear(dim, num_groups * rank, bias=False)
        self.widen = nn.Parameter(torch.zeros(num_groups, rank, dim))  # all heads start as one
        self.heads = nn.ModuleList(nn.Linear(dim, size) for size in sids.sizes)
        for head in self.heads:
            nn.init.zeros_(head.weight)  # type: ignore[arg-type]  # every code starts equally likely
        self.conditions = Conditions(schema=schema, dim=dim)

    # --- training -----------------------------------------------------------------------------------------------------

    def target_logits(self, batch: Batch) -> TargetLogits:
        """Teacher-forced logits of every target: in training by the head of its group, else by the mixture."""
        if batch.targets is None:
            raise ValueError("target_logits needs a batch with targets")
        memory = self._memory(batch)
        states, has_target = self.conditions.add_request(memory.squeeze(2), batch), batch.targets != PAD
        items = batch.targets[has_target]
        written = self.item_embedding.tokens[batch.targets.clamp(min=0)][..., :-1]
        hidden = self.decoder(states, memory, written)[has_target]  # [targets, levels, dim]
        gate, groups = self.gate(states[has_target]), self._target_groups(batch, has_target)
        if self.training and groups is not None:
            chosen = F.one_hot(groups, self.num_groups).to(hidden.dtype)[:, None, :, None]
            hidden = hidden + torch.einsum("nlgr,grd->nld", chosen * self._narrow(hidden), self.widen)
            levels = tuple(head(hidden[:, level]) for level, head in enumerate(self.heads))
        else:
            levels = self._mix(hidden, gate.log_softmax(-1), items)
        if groups is None:
            return TargetLogits(items, levels)
        gate_loss = F.cross_entropy(gate.float(), groups)
        return TargetLogits(items, levels, auxiliary={"gate": self.gate_weight * gate_loss})

    def _target_groups(self, batch: Batch, has_target: Tensor) -> Int64[Tensor, " targets"] | None:
        """The group of each target; None where the batch does not say what kind of event it is."""
        if not self.target_columns:
            assert batch.targets is not None
            return self.groups[batch.targets[has_target]]
        (name,) = self.target_columns
        return self.groups[batch.target_columns[name][has_target]] if name in batch.target_columns else None

    def _mix(
        self, hidden: Float[Tensor, "targets levels dim"], log_weights: Float[Tensor, "targets groups"], items: Tensor
    ) -> tuple[Tensor, ...]:
        """The mixture's logits along the true codes."""
        path, trie = self.walk.of(items.device).paths(items), self.walk.of(items.device)
        levels = []
        for level in range(self.sids.num_levels):
            log_probs = self._log_probs(hidden[:, level], path[:, level], level)
            levels.append(_mixture(log_weights, log_probs))
            log_weights = _posterior(log_weights, log_probs, trie.codes(path[:, level + 1]))
        return tuple(levels)

    def _memory(self, batch: Batch) -> Float[Tensor, "batch states 1 dim"]:
        items = self.conditions.add_columns(self.item_embedding(batch.history.clamp(min=0)), batch)
        return self.history(items.unsqueeze(2), self.conditions.add_user(self.history.start, batch))

    def _narrow(self, hidden: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows groups rank"]:
        return F.silu(self.narrow(hidden)).unflatten(-1, (self.num_groups, -1))

    def _log_probs(
        self, hidden: Float[Tensor, "*rows dim"], nodes: Int64[Tensor, "*rows"], level: int
    ) -> Float[Tensor, "*rows groups size"]:
        """Returns what each head says of the codes that follow ``nodes``."""
        per_group = hidden.unsqueeze(-2) + torch.einsum("...gr,grd->...gd", self._narrow(hidden), self.widen)
        logits = self.heads[level](per_group).float()
        if self.normalization == "trie":
            _, code_slots = self.walk.children(nodes, level)
            legal = scatter_children(torch.zeros_like(code_slots, dtype=logits.dtype), code_slots, logits.shape[-1])
            logits = logits.masked_fill(legal.unsqueeze(-2) < 0, NO_ITEM)
        return logits.log_softmax(dim=-1)

    # --- decoding -----------------------------------------------------------------------------------------------------

    def prefill(self, batch: Batch) -> MixtureState:
        """Encodes each history once, and asks the gate."""
        memory = self._memory(batch)
        asked = self.conditions.add_request(memory.squeeze(2), batch)
        decoder = self.decoder.prefill(asked, memory, batch.lengths)
        nodes = torch.zeros(len(batch), 1, dtype=torch.long, device=memory.device)
        return MixtureState(decoder, nodes, self.gate(decoder.state).float().log_softmax(-1).unsqueeze(1))

    def step(
        self, state: MixtureState, codes: Int64[Tensor, "batch beams"] | None
    ) -> tuple[Float[Tensor, "batch beams size"], MixtureState]:
        """The mixture's logits of the next level for every beam, given the code each beam chose last."""
        level, nodes, log_weights = state.decoder.level, state.nodes, state.log_weights
        if codes is not None and state.log_probs is not None:
            nodes = self.walk.advance(nodes, codes, level - 1)
            log_weights = _posterior(log_weights, state.log_probs, codes)
        hidden, decoder = self.decoder.step(state.decoder, codes)
        log_probs = self._log_probs(hidden, nodes, level)
        return _mixture(log_weights, log_probs), MixtureState(decoder, nodes, log_weights, log_probs)

    def reorder(self, state: MixtureState, index: Int64[Tensor, "batch beams"]) -> MixtureState:
        """Beam ``j`` continues old beam ``index[:, j]``."""
        row = torch.arange(index.shape[0], device=index.device).unsqueeze(-1)
        return replace(
            state,
            decoder=state.decoder.reordered(index),
            nodes=state.nodes[row, index],
            log_weights=state.log_weights[row, index],
            log_probs=None if state.log_probs is None else state.log_probs[row, index],
        )


def groups_of(
    prior: str,
    num_groups: int,
    train_counts: np.ndarray,
    item_labels: Mapping[str, np.ndarray] | None,
    columns: Sequence[str] = (),
) -> np.ndarray:
    """int64 [items]: the group of each item.

    Args:
        prior: "popularity", or a key of ``item_labels``.
        num_groups: how many groups there are.
        train_counts: [items] training events.
        item_labels: label -> the number of each item's, the most frequent first, -1 for none; None when a trained generator is
            opened, which needs no groups any more.
        columns: of events that are priors too; the error names them.

    Raises:
        ConfigError: when there is no such label.
    """
    if prior == POPULARITY:
        order = np.argsort(-train_counts, kind="stable")
        before = np.cumsum(train_counts[order]) - train_counts[order]  # events of the items ahead
        groups = np.empty(len(order), dtype=np.int64)
        groups[order] = np.minimum(before * num_groups // max(train_counts.sum(), 1), num_groups - 1)
        return groups
    if item_labels is None:
        return np.zeros(len(train_counts), dtype=np.int64)
    if prior not in item_labels:
        options = ", ".join((POPULARITY, *item_labels, *columns))
        fix = "choose what the catalogue has, or add it to events.columns"
        raise ConfigError("generator.prior", expected=f"one of {options}", got=prior, fix=fix)
    labels = item_labels[prior]
    return np.where((labels >= 0) & (labels < num_groups - 1), labels, num_groups - 1).astype(np.int64)


def groups_of_codes(column: Column, num_groups: int, counts: np.ndarray | None) -> np.ndarray:
    """int64 [codes]: the group of each code of a column of events; code 0, what is unknown, is in the last group.

    Args:
        column: a category, whose most frequent words have a group each, or a time, whose gaps are in order.
        num_groups: how many groups there are.
        counts: [codes] training events; None when a trained generator is opened, which needs no groups any more.
    """
    groups = np.full(column.num_codes, num_groups - 1, dtype=np.int64)
    if counts is None:
        return groups
    events = np.asarray(counts)[1:]
    if column.kind == "time":
        before = np.cumsum(events) - events
        groups[1:] = before * (num_groups - 1) // max(events.sum(), 1)
        groups[1:] = np.minimum(groups[1:], num_groups - 2)
    else:
        groups[1 + np.argsort(-events, kind="stable")[: num_groups - 1]] = np.arange(min(num_groups - 1, len(events)))
    return groups


def _mixture(log_weights: Float[Tensor, "*rows groups"], log_probs: Float[Tensor, "*rows groups size"]) -> Tensor:
    return torch.logsumexp(log_weights.unsqueeze(-1) + log_probs, dim=-2)


def _posterior(
    log_weights: Float[Tensor, "*rows groups"], log_probs: Float[Tensor, "*rows groups size"], codes: Int64[Tensor, "*rows"]
) -> Float[Tensor, "*rows groups"]:
    """The weights once a code is known: more for the heads that expected it."""
    chosen = log_probs.gather(-1, codes[..., None, None].expand(*log_weights.shape, 1)).squeeze(-1)
    return (log_weights + chosen).log_softmax(dim=-1)
