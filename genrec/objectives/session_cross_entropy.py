"""Cross-entropy on the semantic IDs of a whole session: the next item and those after it (docs/methods/onerec.md)."""

from __future__ import annotations

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.objectives.lib.sid_loss import SIDLoss
from genrec.protocols import AutoregressiveGenerator, Generator, LossTerms, Sampler, SessionGenerator


class SessionCrossEntropy(SIDLoss):
    """L = mean over levels of -log p(code | history, the session so far), over every item of every session alike.

    How long a session is, the generator says. Budgets count the targets that sessions begin with.

    Args:
        codebook_share: share of the codebook-wide term under trie normalization, in [0, 1] (see ``SIDCrossEntropy``).
    """

    def __init__(self, *, trie: PrefixTrie, codebook_share: float = 0.1) -> None:
        super().__init__(trie=trie, codebook_share=codebook_share)

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
        """Mean loss per item and level."""
        assert isinstance(generator, SessionGenerator)  # check() refused others
        return LossTerms(*self.code_loss(generator.session_logits(batch), generator.normalization))
