"""LC-Rec's tokenizer (arXiv 2311.09049): an RQ-VAE whose last level is trained to share items out evenly.

In training the last codes of a batch come from entropic transport ("uniform semantic mapping"); encoding takes the nearest code
everywhere, so that an item's code does not depend on the items beside it.

Departures: the paper then recodes items that share all codes by up to 20 rounds of transport within each group, which can send
an item onto another group's code. Here that is no part of the tokenizer: ``collision=reassign_last`` finds the fewest and
smallest moves that leave no collision. The networks are narrower, and the training shorter. See
docs/methods/lc_rec.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from genrec.tokenizers.lib.autoencoder import Autoencoder, straight_through
from genrec.tokenizers.lib.kmeans import even_codes
from genrec.tokenizers.lib.residual import squared_distances


class LCRec(Autoencoder):
    """An RQ-VAE with straight-through gradients and an even last level.

    Args:
        num_levels: number of codes per item.
        codebook_size: codes per level; a batch with fewer rows than this takes nearest codes.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_dim: width of the quantized bottleneck.
        steps: optimizer steps.
        batch_size: items per step.
        lr: AdamW learning rate, with 5 % warm-up and linear decay to zero.
        weight_decay: of the networks' weights.
        commitment: weight of the commitment terms, averaged over levels.
        smoothing: of the transport (epsilon of the paper), > 0.
        seed: of the start and of the batches.
    """

    def __init__(
        self,
        *,
        num_levels: int = 4,
        codebook_size: int = 256,
        source: str = "item",
        hidden: Sequence[int] = (256, 128),
        latent_dim: int = 64,
        steps: int = 1000,
        batch_size: int = 512,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        commitment: float = 0.25,
        smoothing: float = 0.003,
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
        self.smoothing = smoothing

    def _choose(self, residual: Tensor, codebook: Tensor, level: int) -> Tensor:
        if level == len(self.sizes) - 1 and len(residual) >= len(codebook):
            return even_codes(squared_distances(residual, codebook), self.smoothing)
        return super()._choose(residual, codebook, level)

    def _quantize(self, latent: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        chain = self._chain(latent)
        return straight_through(latent, chain.vectors), chain.terms.mean()
