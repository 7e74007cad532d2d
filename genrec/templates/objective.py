"""mine: cross-entropy of the codes with label smoothing. Change it into yours; the contract suite says when it is one."""

from __future__ import annotations

import torch
from torch.nn import functional

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.protocols import AutoregressiveGenerator, Generator, LossTerms, Sampler


class Mine:
    """L = mean over levels of the cross-entropy over the level's whole codebook, some of it for all codes alike.

    Args:
        trie: of the catalogue's semantic IDs; genrec supplies it.
        smoothing: what all codes share, in [0, 1).
    """

    def __init__(self, *, trie: PrefixTrie, smoothing: float = 0.05) -> None:
        if not 0 <= smoothing < 1:
            raise ConfigError("objective.smoothing", expected="a share in [0, 1)", got=smoothing, fix="lower it")
        self.trie, self.smoothing = trie, smoothing

    def check(self, generator: Generator) -> None:
        """Raises ConfigError for a generator that writes no codes; called before anything is trained."""
        if not isinstance(generator, AutoregressiveGenerator):
            got = f"{type(generator).__name__}, which writes none"
            raise ConfigError("objective", expected="a generator that writes codes", got=got, fix="choose another objective")

    def loss(self, generator: Generator, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Returns the loss of a batch, and each level's part of it for the log."""
        logits = generator.target_logits(batch)
        self.trie = self.trie.to(logits.items.device) if self.trie.device != logits.items.device else self.trie
        nodes = self.trie.paths(logits.items)  # [targets, levels + 1], the root first
        losses = [
            functional.cross_entropy(level.float(), self.trie.codes(nodes[:, depth + 1]), label_smoothing=self.smoothing)
            for depth, level in enumerate(logits.levels)
        ]
        parts = {f"level_{depth}": loss.detach() for depth, loss in enumerate(losses)}
        return LossTerms(torch.stack(losses).mean(), parts)
