"""The generator given the TRUE prefixes of items: what it thinks of each code on their paths through the trie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.batch import Batch
from genrec.nn.probabilities import child_log_probs
from genrec.protocols import AutoregressiveGenerator
from genrec.trie import PrefixTrie


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


def path_choices(
    generator: AutoregressiveGenerator, trie: PrefixTrie, batch: Batch, items: Int64[Tensor, "batch candidates"]
) -> Iterator[PathChoice]:
    """Follows the ID of each candidate from the root, one choice a level; gradients flow where they are wanted.

    Args:
        generator: in eval mode, or dropout differs from level to level.
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
    return torch.stack([choice.taken for choice in path_choices(generator, trie, batch, items)]).sum(0)
