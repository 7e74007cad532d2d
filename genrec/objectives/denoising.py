"""Squared error of restored item vectors, with features that spread (ContRec; see docs/methods/contrec.md)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from genrec.core.batch import Batch
from genrec.errors import ConfigError
from genrec.objectives.lib.item_softmax import option_of
from genrec.protocols import DiffusionScorer, Generator, LossTerms, Sampler


class Denoising:
    """L = mean |restored - clean|^2 / width + dispersion_weight * log mean over pairs of exp(-|f_a - f_b|^2 / inner).

    The second term pushes the features f of the denoiser apart, without positives. They are compared at equal length, so that
    they cannot spread by growing.

    Args:
        dispersion_weight: of the second term.
    """

    def __init__(self, *, dispersion_weight: float = 0.5) -> None:
        self.dispersion_weight = dispersion_weight

    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the objective and the generator do not fit."""
        if not isinstance(generator, DiffusionScorer):
            raise ConfigError(
                "objective",
                expected=f"an objective for {type(generator).__name__}, which generates no vectors",
                got=option_of(self),
                fix="use generator=continuous",
            )

    def loss(self, generator: DiffusionScorer, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """Mean loss per target."""
        answer = generator.denoised(batch)
        total = error = F.mse_loss(answer.restored.float(), answer.clean.float())
        parts = {"error": error.detach()}
        if self.dispersion_weight and answer.hidden is not None and len(answer.hidden) > 1:
            spread = dispersion(answer.hidden.float())
            total, parts = total + self.dispersion_weight * spread, parts | {"dispersion": spread.detach()}
        return LossTerms(total, parts)


def dispersion(features: Float[Tensor, "rows inner"]) -> Float[Tensor, ""]:
    """Log of the mean over pairs of exp(-|f_a - f_b|^2 / inner), for features brought to mean square 1; from -4 to 0."""
    unit = F.normalize(features, dim=-1)
    nearness = 2 * (unit @ unit.T) - 2  # -|f_a - f_b|^2 / inner
    pairs = nearness[~torch.eye(len(unit), dtype=torch.bool, device=unit.device)]
    return torch.logsumexp(pairs, dim=0) - torch.log(torch.tensor(float(len(pairs))))
