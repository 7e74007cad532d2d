"""Cross-entropy on the semantic IDs of a whole session: the next item and those after it (docs/methods/onerec.md)."""

from __future__ import annotations

from typing import ClassVar

import torch

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.objectives.lib.sid_loss import SIDLoss
from genrec.protocols import AutoregressiveGenerator, Generator, LossTerms, Sampler, SessionGenerator


class SessionCrossEntropy(SIDLoss):
    """L = mean over levels of -log p(code | history, the session so far), averaged over every item of every session.

    The first item has weight 1 in that average, those after it ``later_weight`` each, times what the item counts as a target
    (``train.weight``). How long a session is, the generator says. Sessions are of valued items: with ``train.targets`` they
    begin at those that count and hold no others. Budgets count the targets that sessions begin with.

    Args:
        codebook_share: share of the codebook-wide term under trie normalization, in [0, 1] (see ``SIDCrossEntropy``).
        later_weight: of the items after the first one, 0 or more; 1 weighs all items alike.

    Raises:
        ConfigError: for a negative weight.
    """

    shares_batches: ClassVar[bool] = False  # sessions are of several lengths: a mean over items, not over targets

    def __init__(self, *, trie: PrefixTrie, codebook_share: float = 0.1, later_weight: float = 0.2) -> None:
        super().__init__(trie=trie, codebook_share=codebook_share)
        if later_weight < 0:
            raise ConfigError("objective.later_weight", expected="0 or more", got=later_weight, fix="raise it")
        self.later_weight = later_weight

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the generator writes no sessions."""
        if not isinstance(generator, SessionGenerator):
            raise ConfigError(
                "objective",
                expected=f"an objective for {type(generator).__name__}, which writes no sessions",
                got="session_cross_entropy",
                fix="use generator=moe, or the objective that your generator's yaml names",
            )

    def loss(self, generator: AutoregressiveGenerator, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Weighted mean loss per item and level."""
        assert isinstance(generator, SessionGenerator)  # check() refused others
        logits = generator.session_logits(batch)
        weights = torch.where(logits.slots == 0, 1.0, self.later_weight)
        if logits.weights is not None:
            weights = weights * logits.weights
        return LossTerms(*self.code_loss(logits, generator.normalization, weights=weights))
