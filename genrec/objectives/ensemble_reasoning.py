"""Ensemble reasoning learning, ERL: the mean of the thoughts answers (ReaRec, arXiv 2503.22675; docs/methods/rearec.md)."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from genrec.core.batch import Batch
from genrec.errors import ConfigError
from genrec.objectives.lib.item_softmax import item_cross_entropy
from genrec.objectives.lib.reasoning import check_readout
from genrec.protocols import Generator, LossTerms, ReasoningScorer, Sampler
from genrec.types import PAD


class EnsembleReasoning:
    """L = CE(mean of s_0 .. s_K) - diversity_weight * mean over a != b of KL(p_b || sg(p_a)).

    p_k is the distribution over all items that state k alone would give; the steps are pushed apart, so that their mean is an
    ensemble and not the same answer several times. All p_k are held at once: memory grows with targets x states x items.

    Args:
        diversity_weight: of the divergence, at least 0; the paper's grid ends at .1, for the divergence has no upper end.

    Raises:
        ConfigError: for a negative weight.
    """

    shares_batches: ClassVar[bool] = True

    def __init__(self, *, diversity_weight: float = 0.05) -> None:
        if diversity_weight < 0:
            raise ConfigError("objective.diversity_weight", expected="0 or more", got=diversity_weight, fix="raise it")
        self.diversity_weight = diversity_weight

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        check_readout(generator, "mean", expected="a generator whose thoughts answer together", objective="ensemble_reasoning")

    def loss(self, generator: ReasoningScorer, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per target."""
        assert batch.targets is not None
        items, table = batch.targets[batch.targets != PAD], generator.item_table()
        (chain,) = generator.chains(batch)
        item = item_cross_entropy(chain.mean(1), table, items)
        if not self.diversity_weight:
            return LossTerms(item, {"item": item.detach()})
        apart = _divergence((chain @ table.T).float().log_softmax(dim=-1))
        return LossTerms(item - self.diversity_weight * apart, {"item": item.detach(), "divergence": apart.detach()})


def _divergence(log_probs: Float[Tensor, "targets states items"]) -> Float[Tensor, ""]:
    """Mean of KL(p_b || sg(p_a)) over targets and ordered pairs a != b of states."""
    probs = log_probs.exp()
    crossed = torch.einsum("tbi,tai->ba", probs, log_probs.detach())
    negative_entropy = (probs * log_probs).sum(dim=(0, 2))
    num_targets, num_states, _ = log_probs.shape
    other = ~torch.eye(num_states, dtype=torch.bool, device=probs.device)
    return (negative_entropy.unsqueeze(1) - crossed)[other].mean() / num_targets
