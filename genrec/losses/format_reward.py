"""Teaches a generator to write IDs that exist where no trie holds its hand (OneRec; docs/methods/group_policy.md)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from genrec.batch import Batch
from genrec.protocols import AutoregressiveGenerator
from genrec.trie import PrefixTrie


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
