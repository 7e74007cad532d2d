"""The exact probability of GIVEN items: what ``exhaustive`` says of them, at the cost of their own paths only."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.tie_groups import log_group_size
from genrec.nn.trie_likelihood import id_log_probs
from genrec.protocols import AutoregressiveGenerator, ItemScorer
from genrec.types import PAD


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
        log_probs = id_log_probs(generator, trie, batch, wanted) - log_group_size(trie, trie.leaf_of[wanted].long())
    return log_probs.masked_fill(items == PAD, float("-inf"))
