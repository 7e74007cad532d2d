"""What objectives share that learn from the generator's own recommendations.

What recommended items are worth, given the one that came next (docs/methods/group_policy.md).

Teaches a generator to write IDs that exist where no trie holds its hand (OneRec; docs/methods/group_policy.md).
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.objectives.lib.item_softmax import option_of
from genrec.protocols import AutoregressiveGenerator, Generator, LossTerms, Objective
from genrec.types import PAD


def frozen_copy(generator: nn.Module) -> nn.Module:
    """A copy that does not learn, in eval mode."""
    return copy.deepcopy(generator).eval().requires_grad_(False)


def draw_examples(batch: Batch, number: int) -> tuple[Batch, Int64[Tensor, " examples"]]:
    """Up to ``number`` of a batch's targets, drawn at random, each with a row of its own: the history that its state has seen.

    Args:
        batch: with targets.
        number: how many; fewer when the batch has fewer.

    Returns:
        The histories, without targets, and their next items.
    """
    assert batch.targets is not None
    row, state = (batch.targets != PAD).nonzero(as_tuple=True)
    drawn = torch.randperm(len(row)).to(row.device)[:number]
    row, state = row[drawn], state[drawn]
    return batch.at_states(row, state), batch.targets[row, state]


def with_supervised(supervised: Objective | None, generator: Any, batch: Batch, terms: LossTerms) -> LossTerms:
    """The terms with those of a supervised objective, if there is one: it keeps the generator where the data are."""
    if supervised is None:
        return terms
    anchor = supervised.loss(generator, batch)
    return LossTerms(anchor.total + terms.total, {**anchor.parts, **terms.parts})


def hits(
    trie: PrefixTrie, items: Int64[Tensor, "batch group"], targets: Int64[Tensor, " batch"]
) -> Bool[Tensor, "batch group"]:
    """Returns which items have the ID of the next one: the rule."""
    return trie.leaf_of[items] == trie.leaf_of[targets].unsqueeze(1)


def prefix_shares(
    trie: PrefixTrie, items: Int64[Tensor, "batch group"], targets: Int64[Tensor, " batch"]
) -> Float[Tensor, "batch group"]:
    """Returns how much of the next item's ID each item begins with, in levels of all levels: half right is worth something."""
    same = trie.paths(items)[..., 1:] == trie.paths(targets)[:, None, 1:]
    return same.float().mean(-1)


def rank_penalties(hit: Bool[Tensor, "batch group"]) -> Float[Tensor, "batch group"]:
    """Returns what a wrong item loses by its rank: -a(k) / sum of a over the group, a(k) = 1 / log2(k + 2) at 0-based rank k.

    The higher it stands, the more; 0 for right items, and for all where no item of the group is right.
    """
    discount = 1 / torch.log2(torch.arange(hit.shape[1], device=hit.device) + 2.0)
    return torch.where(hit | ~hit.any(1, keepdim=True), 0.0, -discount / discount.sum())


def advantages(rewards: Float[Tensor, "batch group"], is_item: Bool[Tensor, "batch group"]) -> Float[Tensor, "batch group"]:
    """(r - mean) / (std + 1e-4) over the real items of each group: 0 in groups whose rewards are all equal, and elsewhere."""
    number = is_item.sum(1, keepdim=True).clamp(min=1)
    centred = (rewards - (rewards * is_item).sum(1, keepdim=True) / number) * is_item
    std = (centred.square().sum(1, keepdim=True) / number).sqrt()
    return torch.where(std > 1e-6, centred / (std + 1e-4), 0.0)


def format_loss(
    generator: AutoregressiveGenerator, trie: PrefixTrie, batch: Batch, number: int
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """L = -mean over written IDs of A log p, A = 1 where the catalogue has the ID, else 0.

    Codes are drawn from the softmax over the whole codebook, whatever the generator's normalization. Decoding over the trie
    needs none of this: it is for generators that are to be served without one.

    Args:
        generator: without dropout.
        trie: of the catalogue.
        batch: histories.
        number: IDs written for each.

    Returns:
        The loss, and the share of IDs that do not exist.
    """
    state, codes = generator.prefill(batch), None
    beams = torch.zeros(len(batch), number, dtype=torch.long, device=batch.history.device)
    nodes, legal, log_p = beams, torch.ones_like(beams, dtype=torch.bool), torch.zeros(beams.shape, device=beams.device)
    for level in range(trie.num_levels):
        if level == 1:  # up to here all IDs of a history shared one beam
            state = generator.reorder(state, beams)
        logits, state = generator.step(state, codes)
        log_probs = logits.float().log_softmax(-1).expand(-1, number, -1)
        codes = torch.multinomial(log_probs.detach().exp().flatten(0, 1), 1).view_as(beams)
        log_p = log_p + log_probs.gather(-1, codes.unsqueeze(-1)).squeeze(-1)
        child = trie.advance(nodes, codes, level)
        legal = legal & (child >= 0)
        nodes = torch.where(legal, child, trie.level_starts[level + 1])  # what left the trie stands on some node of its depth
    return -(legal * log_p).mean(), 1 - legal.float().mean()


def check_writes_codes(generator: Generator, objective: object) -> None:
    """Raises ConfigError for a generator that does not write codes."""
    if not isinstance(generator, AutoregressiveGenerator):
        raise ConfigError(
            "objective",
            expected=f"an objective for {type(generator).__name__}, which writes no codes",
            got=option_of(objective),
            fix="use objective=item_cross_entropy",
        )
