"""Residual LFQ of vector-quantize-pytorch in the autoencoder of our learned tokenizers: a code is the signs of its dimensions.

LFQ is arXiv 2310.05737 by the package's source. Level n adds plus or minus ``2 ** -n`` in every dimension. No codebook is
learned: an entropy term makes each item sure of its code and the codes of a batch even. See
docs/methods/vector_quantize_pytorch.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import vector_quantize_pytorch as package
from torch import Tensor, nn

from genrec.tokenizers.lib.quantizer_module import ModuleAutoencoder
from genrec.tokenizers.lib.residual import at_least


class ResidualLFQ(ModuleAutoencoder):
    """Binary codes, level by level, kept in use by their entropy.

    Args:
        num_levels: number of codes per item.
        num_bits: dimensions of the bottleneck; a level has ``2 ** num_bits`` codes.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        steps: optimizer steps.
        batch_size: items per step.
        lr: AdamW learning rate, with 5 % warm-up and linear decay to zero.
        weight_decay: of the networks' weights.
        commitment: weight of the commitment terms, summed over levels.
        entropy_weight: of the entropy terms: an item's, to be small, less a batch's, to be large; summed over levels.
        seed: of the start and of the batches.
    """

    def __init__(
        self,
        *,
        num_levels: int = 4,
        num_bits: int = 8,
        source: str = "item",
        hidden: Sequence[int] = (256, 128),
        steps: int = 1000,
        batch_size: int = 512,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        commitment: float = 0.25,
        entropy_weight: float = 0.1,
        seed: int = 0,
    ) -> None:
        at_least(1, num_bits=num_bits)
        super().__init__(
            sizes=(2**num_bits,) * num_levels,
            source=source,
            hidden=hidden,
            latent_dim=num_bits,
            steps=steps,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            commitment=commitment,
            seed=seed,
        )
        self.num_bits, self.entropy_weight = num_bits, entropy_weight

    def _make_module(self) -> nn.Module:
        return package.ResidualLFQ(
            dim=self.num_bits,
            num_quantizers=self.num_levels,
            codebook_size=2**self.num_bits,
            entropy_loss_weight=self.entropy_weight,
            commitment_loss_weight=self.commitment,
        )

    def _training_codebooks(self) -> list[Tensor]:
        return [*self._module.codebooks]
