"""Beam search over the catalogue's trie (default): batched, deterministic, nothing but existing items."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch

from genrec.decoding.exclusion import Exclusion
from genrec.decoding.leaves import items_of_leaves, log_group_size
from genrec.decoding.probabilities import child_log_probs
from genrec.errors import ConfigError
from genrec.protocols import AutoregressiveGenerator, Decoded, DecodingRequest
from genrec.trie import PrefixTrie


class TrieBeam:
    """Keeps the ``num_beams`` most probable prefixes per level; the history is encoded once per user.

    Exact when no level has more than ``num_beams`` open prefixes. Returns ``k`` items whenever ``k`` are allowed: closed
    prefixes take no beam, so at least ``min(num_beams, open prefixes)`` live ones survive every level.

    Args:
        num_beams: prefixes kept per user; at least k.
    """

    kind: ClassVar[Literal["autoregressive"]] = "autoregressive"

    def __init__(self, *, num_beams: int = 50) -> None:
        self.num_beams = num_beams

    def check(self, k: int) -> None:
        """Raises ConfigError when fewer beams than wanted items are kept."""
        if self.num_beams < k:
            raise ConfigError(
                "decoding.num_beams",
                expected=f"at least recommend.k = {k}",
                got=self.num_beams,
                fix="raise it or ask for fewer",
            )

    @torch.inference_mode()
    def decode(self, generator: AutoregressiveGenerator, trie: PrefixTrie, request: DecodingRequest) -> Decoded:
        """Decodes ``request.k`` items for every history of the batch."""
        self.check(request.k)
        exclusion = Exclusion(trie, request)
        batch = request.batch
        nodes = torch.zeros(len(batch), 1, dtype=torch.long, device=batch.history.device)
        scores = torch.zeros(len(batch), 1, device=batch.history.device)
        codes = None
        state = generator.prefill(batch)
        for level in range(trie.num_levels):
            logits, state = generator.step(state, codes)
            child, child_codes, real = trie.children(nodes, level)
            candidates = scores.unsqueeze(-1) + child_log_probs(logits.float(), child_codes, real, generator.normalization)
            candidates = exclusion.apply(candidates, nodes, child, level)
            if level == trie.num_levels - 1:
                candidates = candidates - log_group_size(trie, child)
            width = candidates.shape[-1]
            scores, best = candidates.flatten(1).topk(min(self.num_beams, candidates[0].numel()), dim=1)
            # A dead beam (score -inf) stands on some node of its depth, so that look-ups stay in range.
            nodes = torch.where(scores > float("-inf"), child.flatten(1).gather(1, best), trie.level_starts[level + 1])
            codes = trie.codes(nodes)
            if request.observer is not None:
                request.observer(level, nodes, scores)
            if level < trie.num_levels - 1:
                state = generator.reorder(state, best // width)
        return items_of_leaves(trie, nodes, scores, request.k, exclusion)
