"""Residual FSQ of vector-quantize-pytorch in the autoencoder of our learned tokenizers: a finer grid at every level.

FSQ is arXiv 2309.15505. The grid of level n is that of level 0 divided by ``grid ** n``; nothing is learned but the networks.
Our own form of it is ``FSQ`` with ``form="residual"``, whose gradient passes the levels once; here it is clamped at every level
and summed. See docs/methods/vector_quantize_pytorch.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import vector_quantize_pytorch as package
from jaxtyping import Float
from torch import Tensor, nn

from genrec.tokenizers.lib.quantizer_module import ModuleAutoencoder
from genrec.tokenizers.lib.residual import at_least


class ResidualFSQ(ModuleAutoencoder):
    """Codes that no training can collapse into one: a level has as many as its grid has points.

    Args:
        num_levels: number of codes per item.
        grid: number of values of each dimension of the bottleneck; a level has their product of codes.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        steps: optimizer steps.
        batch_size: items per step.
        lr: AdamW learning rate, with 5 % warm-up and linear decay to zero.
        weight_decay: of the networks' weights.
        seed: of the start and of the batches.
    """

    def __init__(
        self,
        *,
        num_levels: int = 4,
        grid: Sequence[int] = (2, 2, 2, 2, 2, 2, 2, 2),
        source: str = "item",
        hidden: Sequence[int] = (256, 128),
        steps: int = 1000,
        batch_size: int = 512,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        seed: int = 0,
    ) -> None:
        at_least(2, grid=min(grid, default=0))
        super().__init__(
            sizes=(prod(grid),) * num_levels,
            source=source,
            hidden=hidden,
            latent_dim=len(grid),
            steps=steps,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            commitment=0.0,
            seed=seed,
        )
        self.grid = tuple(grid)

    def _make_module(self) -> nn.Module:
        return package.ResidualFSQ(levels=[*self.grid], num_quantizers=self.num_levels)

    def _before_levels(self, latent: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        reach = self._module.soft_clamp_input_value
        return reach * torch.tanh(latent / reach)

    def _training_codebooks(self) -> list[Tensor]:
        return [*(self._module.codebooks * self._module.scales[:, None])]
