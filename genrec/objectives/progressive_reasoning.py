"""Progressive reasoning learning, PRL: each thought sharper than the last (ReaRec; see docs/methods/rearec.md)."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.errors import ConfigError
from genrec.nn.in_batch import related_targets
from genrec.objectives.lib.item_softmax import item_cross_entropy
from genrec.objectives.lib.reasoning import check_readout
from genrec.protocols import Generator, LossTerms, ReasoningScorer, Sampler
from genrec.types import PAD


class ProgressiveReasoning:
    """L = CE(s_K) + step_weight * mean over k < K of CE(s_k / annealing^(K - k)) + contrast_weight * InfoNCE.

    Early steps may be vague: their softmax is flattened, the more the earlier. The contrast asks that a chain survives noise on
    the states it feeds back: a clean and a noisy chain of the same target belong together, other targets of the batch do not.
    A batch of this library holds every position of a user, the paper's one: ``other_users`` leaves out of an anchor's negatives
    the other targets of its own user, and the targets that are the same item.

    Departures from the paper: noise from the first batch on, not after two epochs; the contrast compares directions (cosines).

    Args:
        step_weight: of the earlier states.
        annealing: factor of the temperature per step before the last, at least 1.
        contrast_weight: of the InfoNCE term.
        contrast_temperature: what its cosines are divided by, above 0.
        contrast_negatives: "all" other targets of the batch, or those of "other_users" that are other items.
        noise: standard deviation of the noise.

    Raises:
        ConfigError: for an annealing below 1.
    """

    def __init__(
        self,
        *,
        step_weight: float = 1.0,
        annealing: float = 5.0,
        contrast_weight: float = 1.0,
        contrast_temperature: float = 0.07,
        contrast_negatives: Literal["all", "other_users"] = "all",
        noise: float = 0.01,
    ) -> None:
        if annealing < 1:
            raise ConfigError("objective.annealing", expected="at least 1", got=annealing, fix="raise it")
        self.step_weight, self.annealing = step_weight, annealing
        self.contrast_weight, self.contrast_temperature, self.noise = contrast_weight, contrast_temperature, noise
        self.contrast_negatives = contrast_negatives

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        check_readout(generator, "last", expected="a generator whose last thought answers", objective="progressive_reasoning")

    def loss(self, generator: ReasoningScorer, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per target."""
        assert batch.targets is not None
        items, table = batch.targets[batch.targets != PAD], generator.item_table()
        clean, *noisy = generator.chains(batch, (0.0, self.noise) if self.contrast_weight else (0.0,))
        last = item_cross_entropy(clean[:, -1], table, items)
        early = [
            item_cross_entropy(states / self.annealing**steps_left, table, items) for steps_left, states in _before_last(clean)
        ]
        steps = torch.stack(early).mean()
        total, parts = last + self.step_weight * steps, {"item": last.detach(), "steps": steps.detach()}
        if noisy:
            masked = related_targets(batch.targets) if self.contrast_negatives == "other_users" else None
            contrast = _info_nce(clean[:, 1:], noisy[0][:, 1:], self.contrast_temperature, masked)
            total, parts = total + self.contrast_weight * contrast, parts | {"contrast": contrast.detach()}
        return LossTerms(total, parts)


def _before_last(chain: Float[Tensor, "targets states dim"]) -> list[tuple[int, Tensor]]:
    """Returns how many steps are left at each state but the last, and the state."""
    *early, _ = chain.unbind(1)
    return [(len(early) - k, states) for k, states in enumerate(early)]


def _info_nce(
    clean: Float[Tensor, "targets steps dim"],
    noisy: Float[Tensor, "targets steps dim"],
    temperature: float,
    masked: Bool[Tensor, "targets targets"] | None,
) -> Float[Tensor, ""]:
    """Mean over steps of the cross-entropy of finding each clean chain's noisy twin among those that are not ``masked``."""
    ours, theirs = (F.normalize(chain, dim=-1).transpose(0, 1) for chain in (clean, noisy))
    logits = (ours @ theirs.transpose(1, 2)).float() / temperature
    if masked is not None:
        logits = logits.masked_fill(masked.clone().fill_diagonal_(False), float("-inf"))
    logits = logits.flatten(0, 1)
    twins = torch.arange(clean.shape[0], device=clean.device).repeat(clean.shape[1])
    return F.cross_entropy(logits, twins)
