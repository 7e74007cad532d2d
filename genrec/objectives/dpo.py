"""Direct preference optimization against the generator's own beams (see docs/methods/dpo.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.core.dataset import Dataset
from genrec.core.trie import PrefixTrie
from genrec.errors import ConfigError
from genrec.nn.blocks import without_dropout
from genrec.nn.trie_likelihood import id_log_probs
from genrec.objectives.lib.ensemble_reward import EnsembleReward
from genrec.objectives.lib.policy import check_writes_codes, draw_examples, frozen_copy, with_supervised
from genrec.protocols import AutoregressiveGenerator, Generator, LossTerms, Objective, Sampler
from genrec.types import PAD


class DPO(nn.Module):
    """L = supervised + weight * mean over histories of log(1 + sum over rejected l of exp(beta (d(l) - d(w)))).

    d = log p - log p_ref, with the exact probabilities of whole IDs through the trie; the reference is the generator that
    training starts from (``train.init_from``). The reward that pairs are mined by is a hit: the next item w is preferred to the
    wrong ones among the beams of the generator as it is NOW, the mistakes that it would make. With one rejected item this is
    DPO (arXiv 2305.18290), with more S-DPO. Policy and reference are compared without dropout.

    With ``score_weight`` the reward is 1 for the next item plus that weight times ``EnsembleReward``, as OneRec mines by a
    reward model: of the next item and twice as many beams, w is the best and l are the worst.

    Without the supervised part the likelihood of w falls with that of l: watch ``train/loss_log_p_chosen``.

    Args:
        supervised: an objective to keep beside it, or None.
        weight: of the preference part, above 0.
        beta: how far the generator may leave the reference; smaller is further. Above 0.
        num_rejected: wrong beams of each history.
        num_histories: of each batch, drawn at random; each costs a beam search.
        scorers: baselines whose opinion ``score_weight`` weighs, by name.
        score_weight: of the ensemble's opinion in the reward, 0 or more; a hit is worth 1.

    Raises:
        ConfigError: for settings outside their ranges.
    """

    reference: nn.Module

    def __init__(
        self,
        *,
        trie: PrefixTrie,
        supervised: Objective | None = None,
        weight: float = 1.0,
        beta: float = 0.1,
        num_rejected: int = 8,
        num_histories: int = 64,
        scorers: Mapping[str, Any] | None = None,
        score_weight: float = 0.0,
    ) -> None:
        super().__init__()
        for key, value in {"weight": weight, "beta": beta}.items():
            if not value > 0:
                raise ConfigError(f"objective.{key}", expected="above 0", got=value, fix="raise it")
        for key, value in {"num_rejected": num_rejected, "num_histories": num_histories}.items():
            if value < 1:
                raise ConfigError(f"objective.{key}", expected="at least 1", got=value, fix="raise it")
        if score_weight < 0:
            raise ConfigError("objective.score_weight", expected="0 or more", got=score_weight, fix="raise it")
        self.trie, self.supervised = trie, supervised
        self.score_weight, self.ensemble = score_weight, EnsembleReward(scorers)
        self.weight, self.beta, self.num_rejected, self.num_histories = weight, beta, num_rejected, num_histories

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
        """Keeps the reference."""
        self.reference = frozen_copy(generator)

    def loss(self, generator: AutoregressiveGenerator, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per history that was drawn, beside the supervised one per target."""
        assert sampler is not None  # training supplies it
        if self.trie.device != batch.history.device:
            self.trie = self.trie.to(batch.history.device)
        examples, targets = draw_examples(batch, self.num_histories)
        chosen, rejected = self._pairs(generator, examples, targets, sampler)
        wrong = rejected != PAD
        items = torch.cat([chosen, torch.where(wrong, rejected, chosen)], dim=1)
        with without_dropout(generator):  # type: ignore[arg-type]
            log_p = id_log_probs(generator, self.trie, examples, items)
        with torch.no_grad():
            reference = id_log_probs(self.reference.eval(), self.trie, examples, items)  # type: ignore[arg-type]
        gained = log_p - reference
        ahead = self.beta * (gained[:, :1] - gained[:, 1:])
        loss = F.softplus(torch.logsumexp((-ahead).masked_fill(~wrong, float("-inf")), dim=1)).mean()
        parts = {
            "preference": loss.detach(),
            "won": ((ahead > 0) & wrong).sum() / wrong.sum(),
            "log_p_chosen": log_p[:, 0].detach().mean(),
        }
        return with_supervised(self.supervised, generator, batch, LossTerms(self.weight * loss, parts))

    def _pairs(
        self, generator: AutoregressiveGenerator, examples: Batch, targets: Int64[Tensor, " examples"], sampler: Sampler
    ) -> tuple[Int64[Tensor, "examples 1"], Int64[Tensor, "examples beams"]]:
        """Returns the preferred item of each history, and others than it, ``PAD`` where there are fewer."""
        chosen, number = targets.unsqueeze(1), self.num_rejected
        # Items may share the ID of the target: ask for so many more that enough others are left.
        beams = sampler.best(generator, examples, number * (2 if self.score_weight else 1) + self.trie.max_group)
        if self.score_weight:
            items = torch.cat([chosen, beams], dim=1)
            is_item = items != PAD
            is_item[:, 1:] &= self._differ(beams, chosen)
            reward = self.score_weight * self.ensemble(self.reference, examples, items, is_item)
            reward[:, 0] += 1
            order = reward.masked_fill(~is_item, float("-inf")).argsort(dim=1, descending=True, stable=True)
            chosen = items.gather(1, order[:, :1])
            worst_first = reward.masked_fill(~is_item, float("inf")).argsort(dim=1, stable=True)
            beams = items.masked_fill(~is_item, PAD).gather(1, worst_first)
        wrong = (beams != PAD) & self._differ(beams, chosen)
        return chosen, beams.masked_fill(~wrong | (wrong.cumsum(1) > number), PAD)

    def _differ(
        self, items: Int64[Tensor, "examples beams"], others: Int64[Tensor, "examples 1"]
    ) -> Bool[Tensor, "examples beams"]:
        """Returns which items have another ID than the one beside them."""
        return self.trie.leaf_of[items.clamp(min=0)] != self.trie.leaf_of[others]
