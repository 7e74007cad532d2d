"""SimVQ (arXiv 2411.02038): every codebook is a frozen table times one learned matrix, so that each step moves all its codes.

The paper quantizes once, with a random table. Departures (docs/methods/sim_vq.md): one table and matrix per residual
level; a table holds k-means centroids, drawn anew while the networks are young and frozen then, and its matrix starts as a
multiple of the identity.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genrec.tokenizers.lib.autoencoder import Autoencoder, rotation_trick

_YOUNG = 0.3  # of the steps


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
        self._matrices = [nn.Parameter(torch.empty(self.latent_dim, self.latent_dim)) for _ in self.sizes]
        self._draw(latent)
        return self._matrices

    def _refresh(self, latent: Tensor, done: float) -> None:
        """Tables are drawn anew while the networks are young; no single code is ever revived."""
        if done < _YOUNG:
            self._draw(latent)

    def _draw(self, latent: Tensor) -> None:
        """Centroids as the codes: a table of unit scale, so that a step on the matrix moves them as a step on them would."""
        self._tables = []
        for centroids, matrix in zip(self._centroids(latent), self._matrices, strict=True):
            scale = centroids.square().mean().sqrt().clamp(min=torch.finfo(centroids.dtype).eps)
            self._tables.append(centroids / scale)
            matrix.data = scale * torch.eye(self.latent_dim)

    def _training_codebooks(self) -> list[Tensor]:
        return [table @ matrix for table, matrix in zip(self._tables, self._matrices, strict=True)]

    def _quantize(self, latent: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        chain = self._chain(latent)
        return rotation_trick(latent, chain.vectors), chain.terms.sum()
