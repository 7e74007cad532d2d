"""Cross-entropy on semantic IDs, normalized over the catalogue's trie (brief ``trie_ce`` in the design notes)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from genrec.batch import Batch
from genrec.errors import ConfigError
from genrec.losses.item_cross_entropy import item_cross_entropy
from genrec.protocols import AutoregressiveGenerator, LossTerms, TargetLogits
from genrec.trie import PrefixTrie
from genrec.types import Normalization


class SIDCrossEntropy:
    """L = mean over levels of -log p(code | prefix, history), plus the item head's cross-entropy.

    With ``normalization: trie`` the softmax at a prefix runs over the codes that exist below it, so that the probabilities of
    all items sum to one. A prefix with a single child then costs nothing and teaches nothing about that child's siblings-to-be;
    ``codebook_share`` mixes in a share of the codebook-wide softmax, so that items added later get honest probabilities.

    Args:
        codebook_share: share of the codebook-wide term under trie normalization, in [0, 1].
        item_weight: weight of the dense head's cross-entropy over items; 0 without an item head.
        item_negatives: sampled negatives of that cross-entropy; None for all items.
    """

    def __init__(
        self, *, trie: PrefixTrie, codebook_share: float = 0.1, item_weight: float = 0.0, item_negatives: int | None = None
    ) -> None:
        self.trie, self.codebook_share = trie, codebook_share
        self.item_weight, self.item_negatives = item_weight, item_negatives

    def check(self, generator: Any) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        if not isinstance(generator, AutoregressiveGenerator):
            raise ConfigError(
                "objective",
                expected=f"an objective for {type(generator).__name__}",
                got="sid_cross_entropy",
                fix="use objective=item_cross_entropy",
            )
        has_head = bool(getattr(generator, "has_item_head", False))
        if bool(self.item_weight) != has_head:
            raise ConfigError(
                "objective.item_weight",
                expected="above 0 with generator.item_head, 0 without",
                got=f"{self.item_weight} with item_head: {has_head}",
                fix="change one of the two",
            )

    def loss(self, generator: AutoregressiveGenerator, batch: Batch, sampler: Any = None) -> LossTerms:
        """Mean loss per target and level."""
        logits = generator.target_logits(batch)
        total, parts = self.code_loss(logits, generator.normalization)
        if self.item_weight:
            assert logits.item_queries is not None  # check() refused the pair
            table = generator.item_table()  # type: ignore[attr-defined]
            item = item_cross_entropy(logits.item_queries, table, logits.items, self.item_negatives)
            total = total + self.item_weight * item
            parts["item"] = item.detach()
        return LossTerms(total, parts)

    def code_loss(
        self, logits: TargetLogits, normalization: Normalization
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """The loss on the codes of some items, and its part of each level."""
        if self.trie.device != logits.items.device:
            self.trie = self.trie.to(logits.items.device)
        path = self.trie.paths(logits.items)  # [targets, levels + 1]
        total = torch.zeros((), device=path.device)
        parts = {}
        for level, level_logits in enumerate(logits.levels):
            codes = self.trie.codes(path[:, level + 1])
            loss = self._level_loss(level_logits.float(), path[:, level], codes, level, normalization)
            parts[f"level_{level}"] = loss.detach()
            total = total + loss / len(logits.levels)
        return total, parts

    def _level_loss(
        self,
        logits: Float[Tensor, "targets size"],
        nodes: Int64[Tensor, " targets"],
        codes: Int64[Tensor, " targets"],
        level: int,
        normalization: Normalization,
    ) -> Float[Tensor, ""]:
        if normalization == "codebook":
            return F.cross_entropy(logits, codes)
        target = logits.gather(1, codes.unsqueeze(1)).squeeze(1)
        _, child_codes, real = self.trie.children(nodes, level)
        family = logits.gather(1, child_codes).masked_fill(~real, float("-inf"))
        loss = (torch.logsumexp(family, dim=1) - target).mean()
        if not self.codebook_share:
            return loss
        return (1 - self.codebook_share) * loss + self.codebook_share * F.cross_entropy(logits, codes)
