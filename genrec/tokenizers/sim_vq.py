"""SimVQ (arXiv 2411.02038): every codebook is a frozen table times one learned matrix, so that each step moves all its codes.

The paper quantizes once, with a random table. Departures, from the brief in the design notes: one table and matrix per residual
level; a table holds k-means centroids and its matrix starts as a multiple of the identity, so that the codes start where the
items are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genrec.tokenizers.autoencoder import Autoencoder
from genrec.tokenizers.rqvae import rotated


class SimVQ(Autoencoder):
    """An RQ-VAE, with the rotation trick, whose codebooks are moved as wholes: no code can be left behind.

    Args:
        num_levels: number of codes per item.
        codebook_size: codes per level.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_dim: width of the quantized bottleneck, at most ``codebook_size`` to be of use.
        steps: optimizer steps.
        batch_size: items per step.
        lr: AdamW learning rate, with 5 % warm-up and linear decay to zero.
        weight_decay: of the networks' weights; on the matrices it would shrink all codes.
        commitment: weight of the commitment terms, summed over levels.
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

    def _start(self, latent: Tensor) -> list[nn.Parameter]:
        centroids = self._centroids(latent)
        # Tables of unit scale: a step of the optimizer on a matrix then moves codes as far as a step on the codes would.
        scales = [table.square().mean().sqrt().clamp(min=torch.finfo(table.dtype).eps) for table in centroids]
        self._frozen = [table / scale for table, scale in zip(centroids, scales, strict=True)]
        self._matrices = [nn.Parameter(scale * torch.eye(self.latent_dim)) for scale in scales]
        return self._matrices

    def _effective(self) -> list[Tensor]:
        return [table @ matrix for table, matrix in zip(self._frozen, self._matrices, strict=True)]

    def _refresh(self, latent: Tensor) -> None:
        """No code dies."""

    def _quantize(self, latent: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        chain = self._chain(latent)
        return rotated(latent, chain.vectors), chain.terms.sum()
