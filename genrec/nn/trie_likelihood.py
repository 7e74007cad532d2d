"""Generators and the trie: what a generator thinks of each code on the TRUE paths of items, and where beams stand in the trie.

``child_log_probs`` turns logits into log-probabilities of the children of trie nodes; normalization is decided there alone.
``step_children`` is a generator's step as a search needs it: of a level as wide as the catalogue, the children alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.protocols import AutoregressiveGenerator, HasCodeHeads
from genrec.types import PAD, Normalization


@dataclass(frozen=True)
class PathChoice:
    """What a generator thinks of the children of one node, for each candidate the node on its own path.

    Args:
        of_nodes: log-probabilities of the children of the distinct nodes, -inf where a family is padded.
        node: which of these nodes is the candidate's.
        slot: which child is on the candidate's path.
        decided: is the node above a single ID, so that its only child has probability one?
        num_children: of the node.
    """

    of_nodes: Float[Tensor, "batch nodes width"]
    node: Int64[Tensor, "batch candidates"]
    slot: Int64[Tensor, "batch candidates"]
    decided: Bool[Tensor, "batch candidates"]
    num_children: Int64[Tensor, "batch candidates"]

    @property
    def on_path(self) -> Float[Tensor, "batch candidates"]:
        """Log-probability of the child that is on the path."""
        at = self.node * self.of_nodes.shape[-1] + self.slot
        return self.of_nodes.flatten(1).gather(1, at).masked_fill(self.decided, 0.0)

    @property
    def log_probs(self) -> Float[Tensor, "batch candidates width"]:
        """Returns log-probabilities of all children of each candidate's node, -inf where the family is padded."""
        width = self.of_nodes.shape[-1]
        log_probs = self.of_nodes.gather(1, self.node.unsqueeze(-1).expand(-1, -1, width))
        only = torch.full((width,), float("-inf"), device=log_probs.device)
        only[0] = 0.0
        return torch.where(self.decided.unsqueeze(-1), only, log_probs)


def path_choices(
    generator: AutoregressiveGenerator, trie: PrefixTrie, batch: Batch, items: Int64[Tensor, "batch candidates"]
) -> Iterator[PathChoice]:
    """Follows the ID of each candidate from the root, one choice a level; gradients flow where they are wanted.

    Candidates of a user that share a prefix share its step, and what a generator that normalizes over the trie has decided
    costs none.

    Args:
        generator: in eval mode, or dropout differs from level to level.
        trie: of the whole catalogue.
        batch: the histories.
        items: item_idx, no ``PAD``.
    """
    paths = trie.paths(items)
    state, before = generator.prefill(batch), torch.zeros_like(items)
    for level in range(trie.num_levels):
        nodes, children = paths[..., level], paths[..., level + 1]
        decided = torch.zeros_like(nodes, dtype=torch.bool)
        if generator.normalization == "trie":
            decided = trie.num_ids_below(nodes) == 1
        shared = _Shared.among(nodes, decided, at_most=1 if level == 0 else nodes.shape[1])
        of_nodes = torch.zeros(len(batch), 1, 1, device=items.device)
        if shared.number:
            distinct, codes = shared.first(nodes), None
            if level:
                state, codes = generator.reorder(state, shared.first(before)), trie.codes(distinct)
            _, child_codes, exists = trie.children(distinct, level)
            of_nodes, state = step_children(generator, state, codes, distinct, child_codes, exists, level)
        before = shared.index.clamp(max=max(shared.number - 1, 0))
        yield PathChoice(of_nodes, before, children - trie.first_child[nodes], decided, trie.num_children(nodes))


@dataclass(frozen=True)
class _Shared:
    """The distinct ones among the nodes of each user's candidates.

    Args:
        index: of each candidate's node among them; of decided ones behind all that are not.
        number: of the user with the most.
    """

    index: Int64[Tensor, "batch candidates"]
    number: int

    @classmethod
    def among(
        cls, nodes: Int64[Tensor, "batch candidates"], decided: Bool[Tensor, "batch candidates"], at_most: int
    ) -> _Shared:
        ordered, order = nodes.masked_fill(decided, torch.iinfo(nodes.dtype).max).sort(dim=1)
        rank = F.pad((ordered.diff(dim=1) != 0).long().cumsum(dim=1), (1, 0))
        index = torch.empty_like(rank).scatter(1, order, rank)
        if nodes.is_cuda:  # counting would make the host wait
            return cls(index, at_most)
        return cls(index, int(index.masked_fill(decided, -1).max()) + 1)

    def first(self, values: Int64[Tensor, "batch candidates"]) -> Int64[Tensor, "batch nodes"]:
        """Each node's value, given its candidates'; a user with fewer nodes has any value in the slots behind them."""
        nodes = values[:, :1].repeat(1, self.number + 1)
        return nodes.scatter(1, self.index.clamp(max=self.number), values)[:, : self.number]


def id_log_probs(
    generator: AutoregressiveGenerator, trie: PrefixTrie, batch: Batch, items: Int64[Tensor, "batch candidates"]
) -> Float[Tensor, "batch candidates"]:
    """Log-probability of each candidate's whole ID: the sum over its path, shared by all items that have that ID.

    Args:
        generator: as in ``path_choices``.
        trie: of the whole catalogue.
        batch: the histories.
        items: item_idx, no ``PAD``.
    """
    return torch.stack([choice.on_path for choice in path_choices(generator, trie, batch, items)]).sum(0)


def child_log_probs(
    logits: Float[Tensor, "*nodes size"],
    child_codes: Int64[Tensor, "*nodes width"],
    exists: Bool[Tensor, "*nodes width"],
    normalization: Normalization,
) -> Float[Tensor, "*nodes width"]:
    """Log-probability of each child of each node; -inf where the family is padded.

    With "trie" the children that EXIST share the whole mass, whatever is filtered afterwards: a filter must not raise the
    scores of what it leaves. With "codebook" codes without items keep their mass, as in training.
    """
    chosen = logits.gather(-1, child_codes).masked_fill(~exists, float("-inf"))
    total = chosen if normalization == "trie" else logits
    return chosen - torch.logsumexp(total, dim=-1, keepdim=True)


def step_children(
    generator: AutoregressiveGenerator,
    state: Any,
    codes: Int64[Tensor, "batch nodes"] | None,
    nodes: Int64[Tensor, "batch nodes"],
    child_codes: Int64[Tensor, "batch nodes width"],
    exists: Bool[Tensor, "batch nodes width"],
    level: int,
) -> tuple[Float[Tensor, "batch nodes width"], Any]:
    """Returns log-probabilities of the children of ``nodes``, -inf where a family is padded, and the generator's next state.

    Args:
        generator: whose state has one beam for each of ``nodes``.
        state: before the step.
        codes: the last code of each node; None at the root.
        nodes: of depth ``level``.
        child_codes: of their children.
        exists: which of them are no padding.
        level: whose code is chosen.
    """
    if generator.normalization == "trie" and isinstance(generator, HasCodeHeads):
        head = generator.code_head(level)
        if len(head.weight) > WIDE * exists.shape[-1]:
            hidden, state = generator.hidden_step(state, codes)
            chosen = family_logits(hidden, head, nodes, child_codes, exists).float().masked_fill(~exists, float("-inf"))
            return chosen - torch.logsumexp(chosen, dim=-1, keepdim=True), state
    logits, state = generator.step(state, codes)
    return child_log_probs(logits.float(), child_codes, exists, generator.normalization), state


WIDE = 8  # so many times wider than its widest family at hand is a level whose children are computed alone
GATHERED = 2**24  # numbers of a head's rows that are gathered at a time on a GPU


def family_logits(
    hidden: Float[Tensor, "batch nodes dim"],
    head: nn.Linear,
    nodes: Int64[Tensor, "batch nodes"],
    child_codes: Int64[Tensor, "batch nodes width"],
    exists: Bool[Tensor, "batch nodes width"],
) -> Float[Tensor, "batch nodes width"]:
    """The logits of the nodes' children alone: the same numbers as ``head(hidden).gather(-1, child_codes)``; padding has any.

    Rows with one node are multiplied together with the head's rows of its children, so the cost is that of the families, not
    of the catalogue. On a GPU, where counting them would make the host wait, the children's rows are gathered for each node.

    Args:
        hidden: a state for each node.
        head: the linear map to the logits of the level.
        nodes: of one depth.
        child_codes: of their children.
        exists: which of them are no padding.
    """
    x, families, width = hidden.flatten(0, 1), child_codes.flatten(0, 1), child_codes.shape[-1]
    if nodes.is_cuda:
        parts = [
            torch.baddbmm(head.bias[of].unsqueeze(-1), head.weight[of], part.unsqueeze(-1)).squeeze(-1)
            for part, of in zip(*(rows.split(max(GATHERED // (width * x.shape[1]), 1)) for rows in (x, families)), strict=True)
        ]
        return torch.cat(parts).view(exists.shape)
    order = nodes.flatten().argsort(stable=True)
    counts = nodes.flatten()[order].unique_consecutive(return_counts=True)[1]
    first = order[counts.cumsum(0) - counts]  # a row of each distinct node
    real = exists.flatten(0, 1)[first]
    codes, sizes = families[first][real], real.sum(1).tolist()
    weights, biases = (table.index_select(0, codes).split(sizes) for table in (head.weight, head.bias))
    products = [
        F.pad(torch.addmm(bias, rows, weight.T), (0, width - len(bias)))
        for rows, weight, bias in zip(x[order].split(counts.tolist()), weights, biases, strict=True)
    ]
    return torch.cat(products)[order.argsort()].view(exists.shape)


NO_ITEM = -1e4  # the logit of a code that no item has: its probability is zero in any precision, and differences stay numbers


class TrieWalk:
    """The trie, on whatever device it is asked about; ``PAD`` is the node of a prefix that no item has.

    Args:
        trie: of the catalogue.
    """

    def __init__(self, trie: PrefixTrie) -> None:
        self.trie = trie

    def of(self, device: torch.device) -> PrefixTrie:
        """The trie on ``device``."""
        if self.trie.device != device:
            self.trie = self.trie.to(device)
        return self.trie

    def advance(self, nodes: Int64[Tensor, "*shape"], codes: Int64[Tensor, "*shape"], level: int) -> Int64[Tensor, "*shape"]:
        """Moves from nodes of depth ``level`` to their children along ``codes``."""
        return torch.where(nodes == PAD, PAD, self.of(nodes.device).advance(nodes.clamp(min=0), codes, level))

    def children(
        self, nodes: Int64[Tensor, "*shape"], level: int
    ) -> tuple[Int64[Tensor, "*shape width"], Int64[Tensor, "*shape width"]]:
        """The children of nodes of depth ``level``, and the slots of their codes: behind the last code where padded."""
        trie = self.of(nodes.device)
        child, codes, exists = trie.children(nodes.clamp(min=0), level)
        return child, torch.where(exists & (nodes != PAD).unsqueeze(-1), codes, trie.sizes[level])


def scatter_children(
    values: Float[Tensor, "*shape width"], slots: Int64[Tensor, "*shape width"], size: int
) -> Float[Tensor, "*shape size"]:
    """Returns the children's logits at the slots of their codes, ``NO_ITEM`` elsewhere."""
    logits = values.new_full((*values.shape[:-1], size + 1), NO_ITEM)
    return logits.scatter(-1, slots, values)[..., :size]
