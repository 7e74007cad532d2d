"""Residual SimVQ of vector-quantize-pytorch in the autoencoder of our learned tokenizers: frozen tables times learned matrices.

SimVQ is arXiv 2411.02038; it quantizes once, with a random table. Departure: the package's random tables used 81 % of the codes
of the first level (Scientific), so a table holds k-means centroids here, drawn anew while the networks are young and frozen
then, as in our own ``SimVQ``. See docs/methods/vector_quantize_pytorch.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import vector_quantize_pytorch as package
from jaxtyping import Float
from torch import Tensor, nn

from genrec.tokenizers.lib.quantizer_module import ModuleAutoencoder

_YOUNG = 0.3  # of the steps


class ResidualSimVQ(ModuleAutoencoder):
    """An RQ-VAE whose codebooks are moved as wholes: no code can be left behind.

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
        rotation_trick: whether gradients pass a level by the rotation trick (arXiv 2410.06424), else straight through.
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
        rotation_trick: bool = True,
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
        self.rotation_trick = rotation_trick

    def _make_module(self) -> nn.Module:
        return package.ResidualSimVQ(
            dim=self.latent_dim,
            num_quantizers=self.num_levels,
            codebook_size=self.codebook_size,
            rotation_trick=self.rotation_trick,
            input_to_quantize_commit_loss_weight=self.commitment,
        )

    def _start(self, latent: Float[Tensor, "rows dim"]) -> list[nn.Parameter]:
        self._draw_tables(latent)
        return super()._start(latent)

    def _refresh(self, latent: Float[Tensor, "rows dim"], done: float) -> None:
        """Draws the tables anew while the networks are young; no single code is ever revived."""
        if done < _YOUNG:
            self._draw_tables(latent)

    def _draw_tables(self, latent: Float[Tensor, "rows dim"]) -> None:
        """Centroids as the codes: tables of unit scale, so that a step on a matrix moves them as a step on them would."""
        with torch.no_grad():
            for level, centroids in zip(self._module.layers, self._centroids(latent), strict=True):
                scale = centroids.square().mean().sqrt().clamp(min=torch.finfo(centroids.dtype).eps)
                level.frozen_codebook.copy_(centroids / scale)
                level.code_transform.weight.copy_(scale * torch.eye(self.latent_dim))

    def _training_codebooks(self) -> list[Tensor]:
        return [*self._module.codebooks]
