"""The cross-entropy on semantic IDs of ``sid_cross_entropy`` and its variants, and its distillation from an item head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.nn.in_batch import rows_of, weighted_mean
from genrec.objectives.lib.item_softmax import Proposal, item_cross_entropy, mean_log_normalizer, sampled_softmax
from genrec.objectives.lib.policy import check_writes_codes
from genrec.protocols import AutoregressiveGenerator, Generator, HasItemHead, LossTerms, Sampler, TargetLogits
from genrec.types import Normalization


class HeadDistillation:
    """Soft targets from an item head: level by level, what share of the softmax over items each child on the path has.

    It is called while ``mean_log_normalizer`` goes over the head's softmax, whose table is in the order of ``trie.items``.

    Args:
        trie: of the items.
        path: nodes from the root to each target's leaf.
    """

    def __init__(self, trie: PrefixTrie, path: Int64[Tensor, "targets levels_and_1"]) -> None:
        self.trie, self._ahead = trie, path
        self._blocks: list[list[Tensor]] = []

    @torch.no_grad()
    def __call__(self, weights: Float[Tensor, "items block"]) -> None:
        """The next targets' weights, up to a factor of each target."""
        trie, shares = self.trie, []
        path, self._ahead = self._ahead[: weights.shape[1]], self._ahead[weights.shape[1] :]
        for level, below in enumerate(trie.sums_below(weights)):
            child, _, exists = trie.children(path[:, level], level)
            mass = below.gather(0, (child - trie.level_starts[level + 1]).T).T.masked_fill(~exists, 0.0)
            total = mass.sum(1, keepdim=True)  # 0 where the head gives all of them no probability: then they share evenly
            shares.append(
                torch.where(total > 0, mass, exists.float()) / torch.where(total > 0, total, exists.sum(1, keepdim=True))
            )
        self._blocks.append(shares)

    def levels(self) -> list[Float[Tensor, "targets _"]]:
        """Returns, level by level, a distribution over the family of the path's node, 0 where the family is padded."""
        return [_joined(level) for level in zip(*self._blocks, strict=True)]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Families of several blocks, padded to the widest."""
    width = max(part.shape[1] for part in parts)
    return torch.cat([F.pad(part, (0, width - part.shape[1])) for part in parts])


class SIDLoss:
    """The loss on codes and on items; ``SIDCrossEntropy`` says what the parameters mean."""

    weighs_targets: ClassVar[bool] = True
    shares_batches: ClassVar[bool] = True

    def __init__(
        self,
        *,
        trie: PrefixTrie,
        train_counts: np.ndarray | None = None,
        codebook_share: float = 0.1,
        label_smoothing: float = 0.0,
        item_weight: float = 0.0,
        item_negatives: int | None = None,
        item_popular_share: float = 0.0,
        distillation_weight: float = 0.0,
    ) -> None:
        if not 0 <= distillation_weight <= 1:
            raise ConfigError(
                "objective.distillation_weight", expected="a share in [0, 1]", got=distillation_weight, fix="choose one"
            )
        if distillation_weight and not item_weight:
            got = f"{distillation_weight} with item_weight: {item_weight}"
            raise ConfigError(
                "objective.distillation_weight", expected="0 without an item head", got=got, fix="set item_weight"
            )
        if distillation_weight and item_negatives is not None:
            raise ConfigError(
                "objective.item_negatives",
                expected=f"null with distillation_weight: {distillation_weight}, which needs the probabilities of all items",
                got=item_negatives,
                fix="set item_negatives: null",
            )
        if not 0 <= codebook_share <= 1:
            raise ConfigError("objective.codebook_share", expected="a share in [0, 1]", got=codebook_share, fix="choose one")
        if not 0 <= label_smoothing < 1:
            raise ConfigError("objective.label_smoothing", expected="a share in [0, 1)", got=label_smoothing, fix="lower it")
        self.trie, self.codebook_share, self.label_smoothing = trie, codebook_share, label_smoothing
        self.item_weight, self.item_negatives, self.distillation_weight = item_weight, item_negatives, distillation_weight
        self.proposal: Proposal | None = None
        if item_negatives is not None:
            assert train_counts is not None  # the train stage supplies them
            self.proposal = Proposal(train_counts, item_popular_share, "objective.item_popular_share")
        elif item_popular_share:
            got = f"{item_popular_share} with item_negatives: null"
            raise ConfigError("objective.item_popular_share", expected="0 without a sample", got=got, fix="set item_negatives")

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        check_writes_codes(generator, self)
        has_head = isinstance(generator, HasItemHead) and generator.has_item_head
        if bool(self.item_weight) != has_head:
            raise ConfigError(
                "objective.item_weight",
                expected="above 0 with generator.item_head, 0 without",
                got=f"{self.item_weight} with item_head: {has_head}",
                fix="change one of the two",
            )

    def loss(self, generator: AutoregressiveGenerator, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per target and level."""
        logits = generator.target_logits(batch)
        weights = batch.target_weights
        if not self.item_weight:
            total, parts = self.code_loss(logits, generator.normalization, weights=weights)
        else:
            item, soft_targets = self._item_loss(logits, generator, weights)
            total, parts = self.code_loss(logits, generator.normalization, soft_targets, weights)
            total = total + self.item_weight * item
            parts["item"] = item.detach()
        for name, auxiliary_loss in logits.auxiliary.items():
            total = total + auxiliary_loss
            parts[name] = auxiliary_loss.detach()
        return LossTerms(total, parts)

    def code_loss(
        self,
        logits: TargetLogits,
        normalization: Normalization,
        soft_targets: Sequence[Float[Tensor, "targets _"]] | None = None,
        weights: Float[Tensor, " targets"] | None = None,
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Returns the loss on the codes of some items and its parts by level.

        Args:
            logits: of the items.
            normalization: of the generator.
            soft_targets: of an item head, level by level.
            weights: of the items, whose losses are averaged by them; None: all alike.
        """
        path = self._paths(logits.items)
        shares: Sequence[Tensor | None] = soft_targets or [None] * len(logits.levels)
        levels = torch.stack(
            [
                _mean(
                    self._level_loss(of_level.float(), path[:, level : level + 2], level, normalization, shares[level]), weights
                )
                for level, of_level in enumerate(logits.levels)
            ]
        )
        return self.over_levels(levels), {f"level_{level}": loss for level, loss in enumerate(levels.detach())}

    def _item_loss(
        self, logits: TargetLogits, generator: Any, weights: Float[Tensor, " targets"] | None
    ) -> tuple[Float[Tensor, ""], list[Float[Tensor, "targets _"]] | None]:
        """The item head's cross-entropy, and the soft targets; one pass over its softmax gives both."""
        queries, items = logits.item_queries, logits.items
        assert queries is not None  # check() refused the pair
        if self.item_negatives is not None and self.proposal is not None:
            return sampled_softmax(queries, rows_of(generator), items, self.item_negatives, self.proposal, weights), None
        table = generator.item_table()
        if not self.distillation_weight:
            return item_cross_entropy(queries, table, items, weights=weights), None
        shares = HeadDistillation(self.trie, self._paths(items))
        target_logits = (queries * table[items]).sum(1).float()
        normalizer = mean_log_normalizer(queries, table[self.trie.items], shares, weights)
        return normalizer - weighted_mean(target_logits, weights), shares.levels()

    def _paths(self, items: Int64[Tensor, " targets"]) -> Int64[Tensor, "targets levels_and_1"]:
        if self.trie.device != items.device:
            self.trie = self.trie.to(items.device)
        return self.trie.paths(items)

    def over_levels(self, losses: Float[Tensor, " levels"]) -> Float[Tensor, ""]:
        """The loss on codes, given each level's mean over the targets."""
        return losses.mean()

    def _level_loss(
        self,
        logits: Float[Tensor, "targets size"],
        step: Int64[Tensor, "targets 2"],
        level: int,
        normalization: str,
        soft_targets: Float[Tensor, "targets width"] | None,
    ) -> Float[Tensor, " targets"]:
        """Returns the losses of the step from one node to the next; ``soft_targets`` come from the item head."""
        share = 1.0 if normalization == "codebook" else self.codebook_share
        nodes, children = step.unbind(1)
        code = self.trie.codes(children)
        if share == 1 and not self.label_smoothing and soft_targets is None:
            return F.cross_entropy(logits, code, reduction="none")
        _, child_codes, exists = self.trie.children(nodes, level)
        family = logits.gather(1, child_codes)  # what is read of a wide level, it is asked for once: each time costs it a pass
        target_logit = family.gather(1, (children - self.trie.first_child[nodes]).unsqueeze(1)).squeeze(1)
        normalizer = (1 - share) * torch.logsumexp(family.masked_fill(~exists, float("-inf")), dim=1)
        if share:
            normalizer = normalizer + share * (F.cross_entropy(logits, code, reduction="none") + target_logit)
        expected_logit, family = target_logit, family.masked_fill(~exists, 0.0)
        if soft_targets is not None:
            expected_logit = torch.lerp(expected_logit, (soft_targets * family).sum(1), self.distillation_weight)
        if self.label_smoothing:
            expected_logit = torch.lerp(expected_logit, family.sum(1) / exists.sum(1), self.label_smoothing)
        return normalizer - expected_logit


def _mean(losses: Float[Tensor, " targets"], weights: Float[Tensor, " targets"] | None) -> Float[Tensor, ""]:
    return losses.mean() if weights is None else (losses * weights).sum() / weights.sum()
