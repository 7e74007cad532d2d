"""The exact probability of GIVEN items: what ``exhaustive`` says of them, at the cost of their own paths only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.batch import Batch
from genrec.decoding.leaves import log_group_size
from genrec.decoding.probabilities import child_log_probs
from genrec.protocols import AutoregressiveGenerator, ItemScorer
from genrec.trie import PrefixTrie
from genrec.types import PAD


@dataclass(frozen=True)
class PathChoice:
    """What a generator thinks of the children of one node, for each candidate the node on its own path.

    Args:
        log_probs: of the children, -inf where the family is padded.
        slot: which child is on the candidate's path.
        num_children: of the node.
    """

    log_probs: Float[Tensor, "batch candidates width"]
    slot: Int64[Tensor, "batch candidates"]
    num_children: Int64[Tensor, "batch candidates"]

    @property
    def taken(self) -> Float[Tensor, "batch candidates"]:
        """Log-probability of the child that is on the path."""
        return self.log_probs.gather(-1, self.slot.unsqueeze(-1)).squeeze(-1)


@torch.inference_mode()
def item_log_probs(
    generator: AutoregressiveGenerator | ItemScorer,
    trie: PrefixTrie | None,
    batch: Batch,
    items: Int64[Tensor, "batch candidates"],
) -> Float[Tensor, "batch candidates"]:
    """Log-probability of each candidate as the next item of its history; no seen-item rule, no filter.

    Autoregressive generators: the sum over the levels of the item's ID, the size of a group that shares the ID divided out, so
    that with trie normalization the probabilities of the whole catalogue sum to one. Item scorers: softmax over the catalogue.
    Histories are encoded once; memory grows with batch x candidates x family size, so many candidates want small batches.

    Args:
        generator: in eval mode.
        trie: of the whole catalogue, or None for an item scorer.
        batch: the histories.
        items: item_idx; ``PAD`` entries get -inf.
    """
    wanted = items.clamp(min=0)
    if trie is None:
        assert isinstance(generator, ItemScorer)
        log_probs = generator.score(batch).float().log_softmax(dim=1).gather(1, wanted)
    else:
        assert isinstance(generator, AutoregressiveGenerator)
        log_probs = -log_group_size(trie, trie.leaf_of[wanted].long())
        for choice in path_choices(generator, trie, batch, wanted):
            log_probs = log_probs + choice.taken
    return log_probs.masked_fill(items == PAD, float("-inf"))


def path_choices(
    generator: AutoregressiveGenerator, trie: PrefixTrie, batch: Batch, items: Int64[Tensor, "batch candidates"]
) -> Iterator[PathChoice]:
    """Follows the ID of each candidate from the root, one choice a level: the generator given the TRUE prefix.

    Args:
        generator: in eval mode.
        trie: of the whole catalogue.
        batch: the histories.
        items: item_idx, no ``PAD``.
    """
    paths = trie.paths(items)
    state, codes = generator.prefill(batch), None
    for level in range(trie.num_levels):
        if level == 1:  # up to here all candidates of a user shared one beam
            state = generator.reorder(state, torch.zeros_like(items))
        logits, state = generator.step(state, codes)
        nodes, taken = paths[..., level], paths[..., level + 1]
        here = nodes if level else nodes.new_zeros(len(batch), 1)
        _, child_codes, real = trie.children(here, level)
        log_probs = child_log_probs(logits.float(), child_codes, real, generator.normalization)
        yield PathChoice(
            log_probs.expand(*items.shape, -1),
            slot=taken - trie.first_child[nodes],
            num_children=trie.num_children(nodes),
        )
        codes = trie.codes(taken)
