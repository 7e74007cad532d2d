"""Residual VQ of vector-quantize-pytorch in the autoencoder of our learned tokenizers, in one chain of levels or in groups.

A level's codebook is a moving average of the residuals that chose its codes; only the commitment term is a loss. The first
batch, which starts the codebooks by the package's k-means, is the sample that our own tokenizers start on; codes that hardly
anything chooses are drawn anew by the package, but not in the last tenth of the steps. See
docs/methods/vector_quantize_pytorch.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import vector_quantize_pytorch as package
from jaxtyping import Int
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.protocols import Traits
from genrec.tokenizers.lib.quantizer_module import ModuleAutoencoder
from genrec.tokenizers.lib.residual import at_least

_REVIVE_UNTIL = 0.9  # of the steps: a code revived later would be encoded with before it was trained


class ResidualVQ(ModuleAutoencoder):
    """An RQ-VAE whose codebooks are moving averages.

    With ``groups`` the bottleneck is cut into as many parts, each with a chain of its own (``GroupedResidualVQ``); the first
    level of every group stands before the second of any.

    Args:
        num_levels: number of codes per item, a multiple of ``groups``.
        groups: chains side by side; the codes of two groups have no order.
        codebook_size: codes per level.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_dim: width of the quantized bottleneck, a multiple of ``groups``.
        steps: optimizer steps.
        batch_size: items per step.
        lr: AdamW learning rate, with 5 % warm-up and linear decay to zero.
        weight_decay: of the networks' weights.
        commitment: weight of the commitment terms, summed over levels.
        decay: of the moving averages, per step.
        dead_share: a code is drawn anew when fewer rows of a batch choose it, on average, than this share of an even part.
        rotation_trick: whether gradients pass a level by the rotation trick (arXiv 2410.06424), else straight through.
        seed: of the start and of the batches.
    """

    def __init__(
        self,
        *,
        num_levels: int = 3,
        groups: int = 1,
        codebook_size: int = 256,
        source: str = "item",
        hidden: Sequence[int] = (256, 128),
        latent_dim: int = 64,
        steps: int = 1000,
        batch_size: int = 512,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        commitment: float = 0.25,
        decay: float = 0.99,
        dead_share: float = 0.1,
        rotation_trick: bool = True,
        seed: int = 0,
    ) -> None:
        at_least(1, groups=groups)
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
        self.groups, self.decay, self.dead_share, self.rotation_trick = groups, decay, dead_share, rotation_trick
        self.traits = Traits(inductive=True, ordered=groups == 1, reconstructs=True, scale_free=True)

    @staticmethod
    def check_settings(*, groups: int, num_levels: int, latent_dim: int, **others: object) -> None:
        """Groups share out levels and dimensions evenly.

        Raises:
            ConfigError: when they do not.
        """
        for name, value in (("num_levels", num_levels), ("latent_dim", latent_dim)):
            if value % groups:
                raise ConfigError(name, expected=f"a multiple of groups={groups}", got=value, fix="change one of them")

    def _make_module(self) -> nn.Module:
        settings: dict[str, Any] = {
            "dim": self.latent_dim,
            "num_quantizers": self.num_levels // self.groups,
            "codebook_size": self.codebook_size,
            "kmeans_init": True,
            "decay": self.decay,
            "threshold_ema_dead_code": self.dead_share * self.batch_size / self.codebook_size,
            "commitment_weight": self.commitment,
            "rotation_trick": self.rotation_trick,
            "sync_codebook": False,  # whoever fits has the whole catalogue
        }
        if self.groups == 1:
            return package.ResidualVQ(**settings)
        return package.GroupedResidualVQ(groups=self.groups, **settings)

    def _start(self, latent: Tensor) -> list[nn.Parameter]:
        trained = super()._start(latent)
        with torch.no_grad():
            self._module(latent[None])  # k-means on the first batch it sees, which is the whole sample
        self._steps_done = 0
        return trained

    def _quantize(self, latent: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        if self._steps_done >= _REVIVE_UNTIL * self.steps:
            for chain in self._chains():
                for level in chain.layers:
                    level._codebook.threshold_ema_dead_code = 0
        self._steps_done += 1
        return super()._quantize(latent, rows)

    def _training_codebooks(self) -> list[Tensor]:
        width, chains = self.latent_dim // self.groups, self._chains()
        codebooks = []
        for level in range(self.num_levels // self.groups):
            for group, chain in enumerate(chains):  # zero outside the group's own dimensions
                codebooks.append(torch.zeros(self.codebook_size, self.latent_dim))
                codebooks[-1][:, group * width : (group + 1) * width] = chain.codebooks[level]
        return codebooks

    def _level_codes(self, indices: Tensor) -> Int[Tensor, "rows levels"]:
        if self.groups == 1:
            return super()._level_codes(indices)
        return indices[:, 0].permute(1, 2, 0).flatten(1)  # from [groups, rows, levels of a group]

    def _chains(self) -> list[Any]:
        return [self._module] if self.groups == 1 else [*self._module.rvqs]
