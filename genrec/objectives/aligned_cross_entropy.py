"""Cross-entropy on semantic IDs, and on what aligns them with the items' texts (LC-Rec; see docs/methods/lc_rec.md)."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.objectives.lib.sid_loss import SIDLoss
from genrec.protocols import AlignedGenerator, AutoregressiveGenerator, Generator, LossTerms, Sampler


class AlignedCrossEntropy(SIDLoss):
    """L = L(next ID | history) + a L(ID | text) + b L(text | ID), the latter two for items drawn anew at every step.

    Items are drawn evenly from those with a text. The authors concatenate sets of examples, which is this with weights
    for their numbers.

    Args:
        codebook_share: share of the codebook-wide term under trie normalization, in [0, 1] (see ``SIDCrossEntropy``).
        item2index_weight: a, 0 or more.
        index2item_weight: b, 0 or more.
        items_per_step: how many items are drawn.

    Raises:
        ConfigError: for a negative weight, or no items.
    """

    def __init__(
        self,
        *,
        trie: PrefixTrie,
        codebook_share: float = 0.1,
        item2index_weight: float = 1.0,
        index2item_weight: float = 1.0,
        items_per_step: int = 32,
    ) -> None:
        super().__init__(trie=trie, codebook_share=codebook_share)
        self.item2index_weight, self.index2item_weight = item2index_weight, index2item_weight
        self.items_per_step = items_per_step
        for key in ("item2index_weight", "index2item_weight"):
            if getattr(self, key) < 0:
                raise ConfigError(f"objective.{key}", expected="0 or more", got=getattr(self, key), fix="raise it")
        if items_per_step < 1:
            raise ConfigError("objective.items_per_step", expected="1 or more", got=items_per_step, fix="raise it")

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the generator reads no texts, or there are none."""
        if not isinstance(generator, AlignedGenerator):
            raise ConfigError(
                "objective",
                expected=f"an objective for {type(generator).__name__}, which reads no texts",
                got="aligned_cross_entropy",
                fix="use generator=lc_rec, or the objective that your generator's yaml names",
            )
        if (self.item2index_weight or self.index2item_weight) and not len(generator.described()):
            raise ConfigError(
                "objective",
                expected="items with texts, or item2index_weight and index2item_weight 0",
                got="no text in any item",
                fix="name a column with texts in generator.text_column, or use objective=sid_cross_entropy",
            )

    def loss(self, generator: AutoregressiveGenerator, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per target and level, plus the weighted mean losses of the texts."""
        assert isinstance(generator, AlignedGenerator)  # check() refused others
        total, parts = self.code_loss(generator.target_logits(batch), generator.normalization)
        described = generator.described()
        if self.item2index_weight:
            loss, _ = self.code_loss(generator.index_logits(_drawn(described, self.items_per_step)), generator.normalization)
            total, parts["item2index"] = total + self.item2index_weight * loss, loss.detach()
        if self.index2item_weight:
            logits, words = generator.text_logits(_drawn(described, self.items_per_step))
            loss = F.cross_entropy(logits.float(), words)
            total, parts["index2item"] = total + self.index2item_weight * loss, loss.detach()
        return LossTerms(total, parts)


def _drawn(items: torch.Tensor, number: int) -> torch.Tensor:
    return items[torch.randint(len(items), (number,), device=items.device)]
