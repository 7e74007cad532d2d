"""RQ-VAE (TIGER, arXiv 2305.05065): an autoencoder whose bottleneck is quantized residual by residual.

Departures beside those of every ``Autoencoder``: AdamW instead of Adagrad, and the gradient passes once from the sum of the
codes to the encoder's output, not level by level (which would count it once a level). The Gumbel-softmax measures distances by
the batch's mean smallest distance, so that its temperature means the same whatever the scale of the bottleneck. See
docs/methods/rqvae.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from genrec.tokenizers.lib.autoencoder import LEAST_LENGTH, Autoencoder, rotation_trick, straight_through


class RQVAE(Autoencoder):
    """RQ-VAE on z-scored vectors, with the choice of how gradients get past the nearest code.

    Args:
        num_levels: number of codes per item.
        codebook_size: codes per level.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_dim: width of the quantized bottleneck.
        steps: optimizer steps.
        batch_size: items per step.
        lr: AdamW learning rate, with 5 % warm-up and linear decay to zero.
        weight_decay: of the networks' weights.
        commitment: weight of the commitment terms (beta of the paper), summed over levels.
        gradient: past the argmin: ``ste`` straight-through; ``rotation`` the rotation trick (arXiv 2410.06424); ``gumbel`` the
            decoder gets a Gumbel-softmax mixture of the codes instead of the nearest.
        temperature: of ``gumbel``, > 0: codes whose squared distances differ by this share of a typical smallest one are mixed.
        seed: of the start and of the batches.
    """

    def __init__(
        self,
        *,
        num_levels: int = 3,
        codebook_size: int = 256,
        source: str = "item",
        hidden: Sequence[int] = (256, 128),
        latent_dim: int = 64,
        steps: int = 1000,
        batch_size: int = 512,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        commitment: float = 0.25,
        gradient: Literal["ste", "rotation", "gumbel"] = "rotation",
        temperature: float = 0.02,
        seed: int = 0,
    ) -> None:
        super().__init__(
            sizes=(codebook_size,) * num_levels,
            source=source,
            hidden=hidden,
            latent_dim=latent_dim,
            steps=steps,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            commitment=commitment,
            seed=seed,
        )
        self.gradient, self.temperature = gradient, temperature

    def _quantize(self, latent: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        chain = self._chain(latent)
        if self.gradient == "gumbel":
            quantized = self._mixture(latent)
        else:
            quantized = (rotation_trick if self.gradient == "rotation" else straight_through)(latent, chain.vectors)
        return quantized, chain.terms.sum()

    def _mixture(self, latent: Tensor) -> Tensor:
        """Sum over levels of codes mixed by a softmax of their noisy distances."""
        residual, mixed = latent, torch.zeros_like(latent)
        for codebook in self.codebooks:
            closeness = torch.addmm(-codebook.square().sum(1), residual, codebook.T, alpha=2)  # |x|^2 - |x - c|^2
            best, codes = closeness.detach().max(1)
            smallest = (residual.detach().square().sum(1) - best).mean().clamp(min=LEAST_LENGTH)
            noise = -torch.empty(closeness.shape).exponential_().clamp(min=LEAST_LENGTH).log()
            weights = torch.softmax(closeness / (self.temperature * smallest) + noise, dim=1)
            mixed = mixed + weights @ codebook
            residual = residual - codebook[codes].detach()
        return mixed
