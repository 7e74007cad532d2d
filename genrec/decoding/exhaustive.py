"""The exact likelihood of every item: the oracle that beam search is measured against.

See docs/methods/trie_search.md.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.decoding.lib.candidates import items_of_leaves, leaf_keys, log_group_size
from genrec.decoding.lib.search_constraints import Steering
from genrec.nn.trie_likelihood import step_children
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest, ParallelGenerator


class Exhaustive:
    """Scores every item by the sum of its levels' log-probabilities and ranks the whole catalogue.

    Prefixes are shared: each is visited once per user, level by level. Where levels are independent (``ParallelGenerator``), an
    item is a sum of look-ups: exact search at the cost of scoring the catalogue, whatever the number of levels.

    Args:
        batch_size: users at a time; memory grows with users x prefixes x codebook size.
    """

    kind: ClassVar[Literal["autoregressive"]] = "autoregressive"

    def __init__(self, *, batch_size: int = 4) -> None:
        self.batch_size = batch_size

    def check(self, k: int) -> None:
        """Any number of items can be ranked."""

    @torch.inference_mode()
    def decode(self, generator: AutoregressiveGenerator, trie: PrefixTrie, request: DecodingRequest) -> Decoded:
        """Ranks all items of every history and returns the first ``request.k``."""
        steering = Steering(trie, request)
        scores = torch.cat([leaf_log_probs(generator, trie, part) for part in request.batch.split(self.batch_size)])
        leaves = torch.arange(trie.level_starts[-2], trie.level_starts[-1], device=scores.device).expand(len(scores), -1)
        scores = scores - log_group_size(trie, leaves)
        keys, best = leaf_keys(trie, leaves, scores, steering).topk(min(request.k, trie.num_leaves), dim=1)
        scores = scores.gather(1, best).masked_fill(keys == float("-inf"), float("-inf"))
        return items_of_leaves(trie, leaves.gather(1, best), scores, request.k, steering)


@torch.inference_mode()
def leaf_log_probs(generator: AutoregressiveGenerator, trie: PrefixTrie, batch: Batch) -> Float[Tensor, "batch leaves"]:
    """Log-probability of every complete ID, in leaf order. With trie normalization they sum to one."""
    if isinstance(generator, ParallelGenerator) and generator.normalization == "codebook":  # no prefix to share: look-ups
        scores = torch.zeros(len(batch), trie.num_leaves, device=batch.history.device)
        for logits, codes in zip(generator.level_logits(batch), trie.leaf_codes().unbind(1), strict=True):
            scores += logits.float().log_softmax(dim=1)[:, codes]
        return scores
    scores = torch.zeros(len(batch), 1, device=batch.history.device)
    state = generator.prefill(batch)
    before = stepped = torch.zeros(1, dtype=torch.long, device=scores.device)  # the nodes that the state has
    for level in range(trie.num_levels):
        nodes = torch.arange(trie.level_starts[level], trie.level_starts[level + 1], device=scores.device)
        _, child_codes, exists = trie.children(nodes, level)
        log_probs = torch.where(exists, 0.0, float("-inf")).expand(len(batch), -1, -1)
        # Normalized over the trie, all that follows the prefix of a single ID has probability one.
        going = trie.num_ids_below(nodes) > (1 if generator.normalization == "trie" else 0)
        before, stepped = stepped, nodes[going]
        if len(stepped):
            if level:
                parents = torch.searchsorted(before, trie.parent[stepped].long())
                state = generator.reorder(state, parents.expand(len(batch), -1))
            of_users = stepped.expand(len(batch), -1)
            family, real = (table[going].expand(len(batch), -1, -1) for table in (child_codes, exists))
            last = trie.codes(of_users) if level else None
            computed, state = step_children(generator, state, last, of_users, family, real, level)
            log_probs = log_probs.index_copy(1, going.nonzero().squeeze(1), computed)
        scores = (scores.unsqueeze(-1) + log_probs)[exists.expand(len(batch), -1, -1)].view(len(batch), -1)  # in node order
    return scores
