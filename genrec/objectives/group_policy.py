"""Group policy optimization from the generator's own recommendations: GRPO and ECPO (docs/methods/group_policy.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genrec.core.batch import Batch
from genrec.core.dataset import Dataset
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.nn.blocks import without_dropout
from genrec.nn.trie_likelihood import id_log_probs
from genrec.objectives.lib.ensemble_reward import EnsembleReward
from genrec.objectives.lib.policy import (
    advantages,
    check_writes_codes,
    draw_examples,
    format_loss,
    frozen_copy,
    hits,
    prefix_shares,
    rank_penalties,
    with_supervised,
)
from genrec.protocols import AutoregressiveGenerator, Generator, LossTerms, Objective, Sampler
from genrec.types import PAD


class GroupPolicy(nn.Module):
    """L = supervised - weight * mean over recommended items of [surrogate(rho, A) - kl_weight * KL].

    A group of items is recommended to each history that was drawn. A is an item's reward against its group's mean, in standard
    deviations; groups of equal rewards teach nothing and get A = 0. rho = p / p_old is the ratio of whole IDs, not of single
    codes as published. The surrogate is GRPO's (arXiv 2402.03300), min(rho A, clip(rho, 1 - e, 1 + e) A); with ``early_clip``
    it is ECPO's (arXiv 2506.13695), where p_old of punished items is at least p / (1 + e + delta), so that what became
    likely since cannot blow up the gradient. KL to the generator that training starts from: e^q - q - 1, q = log p_ref - log p.

    With ``sync_every: 1`` the items come from the generator as it is (on policy; rho is 1 and clips nothing). Items of a group
    are distinct and count the same, whatever their probability: the published way, and a biased estimate of the gradient of the
    expected reward. It sharpens what is likely already: look at recall at 1 and at 50.

    Args:
        supervised: an objective to keep beside it, or None.
        weight: of the policy part, above 0.
        rollouts: "beams", the most probable items, or "draws", items drawn without replacement.
        num_histories: of each batch, drawn at random; each costs a beam search.
        group_size: items recommended to each, at least 2.
        rank_weight: weight of what wrong items lose by their rank; a hit is worth 1.
        prefix_weight: worth of a whole ID's codes being right from the first on, level by level.
        format_weight: weight of the codes' being an ID at all (see ``format_loss``).
        scorers: baselines whose opinion ``score_weight`` weighs, by name.
        score_weight: of what an ensemble thinks of the items (see ``EnsembleReward``).
        clip: e, in (0, 1).
        early_clip: delta, 0 or more, or None for GRPO.
        kl_weight: 0 or more.
        sync_every: steps between copies of the generator into the one that recommends.

    Raises:
        ConfigError: for settings outside their ranges.
    """

    reference: nn.Module  # what training started from
    old: nn.Module  # what recommends
    step: Tensor  # int64 []

    def __init__(
        self,
        *,
        trie: PrefixTrie,
        supervised: Objective | None = None,
        weight: float = 1.0,
        rollouts: Literal["beams", "draws"] = "beams",
        num_histories: int = 64,
        group_size: int = 16,
        rank_weight: float = 1.0,
        prefix_weight: float = 0.0,
        format_weight: float = 0.0,
        scorers: Mapping[str, Any] | None = None,
        score_weight: float = 0.0,
        clip: float = 0.2,
        early_clip: float | None = None,
        kl_weight: float = 0.001,
        sync_every: int = 1,
    ) -> None:
        super().__init__()
        self.trie, self.supervised, self.rollouts = trie, supervised, rollouts
        self.weight, self.rank_weight, self.prefix_weight = weight, rank_weight, prefix_weight
        self.format_weight, self.kl_weight = format_weight, kl_weight
        self.num_histories, self.group_size, self.sync_every = num_histories, group_size, sync_every
        self.clip, self.early_clip = clip, early_clip
        self.score_weight, self.ensemble = score_weight, EnsembleReward(scorers)
        self._check_ranges()
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def _check_ranges(self) -> None:
        for key, least in {"num_histories": 1, "group_size": 2, "sync_every": 1}.items():
            if getattr(self, key) < least:
                raise ConfigError(f"objective.{key}", expected=f"at least {least}", got=getattr(self, key), fix="raise it")
        for key in ("rank_weight", "prefix_weight", "format_weight", "score_weight", "kl_weight", "early_clip"):
            if (getattr(self, key) or 0.0) < 0:
                raise ConfigError(f"objective.{key}", expected="0 or more", got=getattr(self, key), fix="raise it")
        if not self.weight > 0:
            raise ConfigError("objective.weight", expected="above 0", got=self.weight, fix="raise it")
        if not 0 < self.clip < 1:
            raise ConfigError("objective.clip", expected="in (0, 1)", got=self.clip, fix="choose .2")

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        check_writes_codes(generator, self)
        if self.supervised is not None:
            self.supervised.check(generator)

    def fit(self, dataset: Dataset) -> None:
        """Fits the scorers, if they are asked."""
        if self.score_weight:
            self.ensemble.fit(dataset)

    def start(self, generator: nn.Module) -> None:
        """Keeps what training starts from, for the KL and to recommend."""
        self.reference, self.old = frozen_copy(generator), frozen_copy(generator)

    def loss(self, generator: AutoregressiveGenerator, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per recommended item, beside the supervised one per target."""
        assert sampler is not None  # training supplies it
        if self.trie.device != batch.history.device:
            self.trie = self.trie.to(batch.history.device)
        if self.step % self.sync_every == 0:
            self.old.load_state_dict(generator.state_dict())  # type: ignore[attr-defined]
        self.step += 1
        examples, targets = draw_examples(batch, self.num_histories)
        recommend = sampler.best if self.rollouts == "beams" else sampler.drawn
        items = recommend(self.old, examples, self.group_size)
        is_item = items != PAD
        items = torch.where(is_item, items, targets.unsqueeze(1))
        hit = hits(self.trie, items, targets) & is_item
        reward = hit + self.rank_weight * rank_penalties(hit) + self.prefix_weight * prefix_shares(self.trie, items, targets)
        if self.score_weight:
            reward = reward + self.score_weight * self.ensemble(self.reference, examples, items, is_item)
        advantage = advantages(reward, is_item)
        with torch.no_grad():
            old, reference = (
                id_log_probs(policy.eval(), self.trie, examples, items)  # type: ignore[arg-type]
                for policy in (self.old, self.reference)
            )
        with without_dropout(generator):  # type: ignore[arg-type]
            log_p = id_log_probs(generator, self.trie, examples, items)
            written = format_loss(generator, self.trie, examples, self.group_size) if self.format_weight else None
        gain = surrogate((log_p - old).exp(), advantage, self.clip, self.early_clip)
        loss = -(gain - self.kl_weight * divergence(log_p, reference))[is_item].mean()
        parts = {
            "policy": loss.detach(),
            "reward": reward[is_item].mean(),
            "hits": hit.any(1).float().mean(),
            "taught": (advantage != 0).any(1).float().mean(),
        }
        if written is not None:
            loss, parts["illegal"] = loss + self.format_weight * written[0], written[1]
        return with_supervised(self.supervised, generator, batch, LossTerms(self.weight * loss, parts))


def surrogate(
    ratio: Float[Tensor, "*shape"], advantage: Float[Tensor, "*shape"], clip: float, early_clip: float | None
) -> Float[Tensor, "*shape"]:
    """GRPO's clipped gain of each item; ECPO's with an early clip.

    Args:
        ratio: p / p_old.
        advantage: A.
        clip: e.
        early_clip: delta; the ratio of punished items is at most 1 + e + delta in value, its gradient with it.
    """
    if early_clip is not None:
        bounded = ratio / (ratio.detach() / (1 + clip + early_clip)).clamp(min=1)
        ratio = torch.where(advantage < 0, bounded, ratio)
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def divergence(log_p: Float[Tensor, "*shape"], reference: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Each item's estimate of KL(p || p_ref), at least 0: e^q - q - 1, q = log p_ref - log p."""
    q = reference - log_p
    return q.exp() - q - 1
