"""The exact likelihood of every item: the oracle that beam search is measured against."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from genrec.batch import Batch
from genrec.decoding.leaves import items_of_leaves, log_group_size
from genrec.decoding.probabilities import child_log_probs
from genrec.decoding.steering import Steering
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest
from genrec.trie import PrefixTrie


class Exhaustive:
    """Scores every item by the sum of its levels' log-probabilities and ranks the whole catalogue.

    Prefixes are shared: each is visited once per user, level by level.

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
        items, _ = trie.items_of(leaves)
        scores = scores - log_group_size(trie, leaves)
        keys = (scores.unsqueeze(-1) + steering.bias(items)).masked_fill(steering.excludes(items), float("-inf")).amax(-1)
        keys, best = keys.topk(min(request.k, trie.num_leaves), dim=1)
        scores = scores.gather(1, best).masked_fill(keys == float("-inf"), float("-inf"))
        return items_of_leaves(trie, leaves.gather(1, best), scores, request.k, steering)


@torch.inference_mode()
def leaf_log_probs(generator: AutoregressiveGenerator, trie: PrefixTrie, batch: Batch) -> Float[Tensor, "batch leaves"]:
    """Log-probability of every complete ID, in leaf order. With trie normalization they sum to one."""
    scores = torch.zeros(len(batch), 1, device=batch.history.device)
    state, codes = generator.prefill(batch), None
    for level in range(trie.num_levels):
        nodes = torch.arange(trie.level_starts[level], trie.level_starts[level + 1], device=scores.device)
        logits, state = generator.step(state, codes)
        _, child_codes, real = trie.children(nodes, level)
        child_codes, real = child_codes.expand(len(batch), -1, -1), real.expand(len(batch), -1, -1)
        log_probs = child_log_probs(logits.float(), child_codes, real, generator.normalization)
        scores = (scores.unsqueeze(-1) + log_probs)[real].view(len(batch), -1)  # breadth first: children stand in node order
        family = trie.num_children(nodes)
        parent = torch.repeat_interleave(torch.arange(len(nodes), device=scores.device), family)
        codes = trie.codes(
            torch.arange(trie.level_starts[level + 1], trie.level_starts[level + 2], device=scores.device)
        ).expand(len(batch), -1)
        if level < trie.num_levels - 1:
            state = generator.reorder(state, parent.expand(len(batch), -1))
    return scores
