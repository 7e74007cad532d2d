"""LETTER's tokenizer (arXiv 2405.07314): an RQ-VAE whose codes are also pulled towards collaborative vectors and kept apart.

Two losses beside the RQ-VAE's: the quantized bottleneck of an item must pick out its own collaborative vector among a batch's
(alignment), and a code must be more like the codes of its group than like others, so that none is crowded (diversity).

Departures: collaborative vectors are standardized and pass through a learned matrix, so that their width and scale are free;
items without any (never met in training) have no part in the alignment; codebooks start from plain k-means instead of
size-constrained k-means, and groups are balanced clusters of codes, made anew now and then. See docs/methods/letter.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from genrec.protocols import TokenizerInputs
from genrec.tokenizers.lib.autoencoder import Autoencoder, standardization, straight_through
from genrec.tokenizers.lib.kmeans import balanced_assignment, even_codes, kmeans
from genrec.tokenizers.lib.residual import at_least, checked_vectors, squared_distances

_GROUPS = 10  # of codes, per level


class Letter(Autoencoder):
    """An RQ-VAE with straight-through gradients, an even last level, alignment and diversity.

    New items need no collaborative vector: they are only used in training.

    Args:
        num_levels: number of codes per item.
        codebook_size: codes per level, at least 2.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector. The paper's is text alone
            (``"text"`` of a ``concat`` encoder).
        collaborative: which embeddings to align with; an all-zero row means none.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_dim: width of the quantized bottleneck.
        steps: optimizer steps.
        batch_size: items per step.
        lr: AdamW learning rate, with 5 % warm-up and linear decay to zero.
        weight_decay: of the networks' weights.
        commitment: weight of the commitment terms, averaged over levels (mu of the paper).
        alignment_weight: of the alignment loss (alpha).
        diversity_weight: of the diversity loss (beta), averaged over levels.
        smoothing: of the transport that gives the last level's codes in training, as in ``lc_rec``.
        seed: of the start and of the batches.
    """

    def __init__(
        self,
        *,
        num_levels: int = 4,
        codebook_size: int = 256,
        source: str = "item",
        collaborative: str = "collaborative",
        hidden: Sequence[int] = (256, 128),
        latent_dim: int = 64,
        steps: int = 1000,
        batch_size: int = 512,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        commitment: float = 0.25,
        alignment_weight: float = 0.02,
        diversity_weight: float = 1e-4,
        smoothing: float = 0.003,
        seed: int = 0,
    ) -> None:
        at_least(2, codebook_size=codebook_size)
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
        self.collaborative, self.smoothing = collaborative, smoothing
        self.alignment_weight, self.diversity_weight = alignment_weight, diversity_weight

    def fit(self, inputs: TokenizerInputs) -> None:
        """Trains; the global random state is left as it was.

        Raises:
            ConfigError: when the encoder made no collaborative vectors.
            DataError: when a vector is not finite, or the loss is not.
        """
        vectors = checked_vectors(inputs, self.collaborative, key="collaborative")
        self._met = vectors.any(1)
        center, scale = standardization(vectors)
        self._collaborative_vectors = (vectors - center) / (scale * vectors.shape[1] ** 0.5)
        super().fit(inputs)
        del self._met, self._collaborative_vectors, self._matrix, self._alike  # of no use after training

    def _start(self, latent: Tensor) -> list[nn.Parameter]:
        trained = super()._start(latent)
        self._matrix = nn.Parameter(torch.randn(self._collaborative_vectors.shape[1], self.latent_dim) * self.latent_dim**-0.5)
        self._group()
        return [*trained, self._matrix]

    def _refresh(self, latent: Tensor, done: float) -> None:
        super()._refresh(latent, done)
        self._group()

    def _choose(self, residual: Tensor, codebook: Tensor, level: int) -> Tensor:
        if level == len(self.sizes) - 1 and len(residual) >= len(codebook):
            return even_codes(squared_distances(residual, codebook), self.smoothing)
        return super()._choose(residual, codebook, level)

    def _quantize(self, latent: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        chain = self._chain(latent)
        quantized = straight_through(latent, chain.vectors)
        diversity = torch.stack([self._diversity(level, codes) for level, codes in enumerate(chain.codes.T)])
        extra = self.alignment_weight * self._alignment(quantized, rows) + self.diversity_weight * diversity.mean()
        return quantized, chain.terms.mean() + extra

    def _alignment(self, quantized: Tensor, rows: Tensor) -> Tensor:
        """Cross-entropy of finding an item's own collaborative vector among the batch's."""
        met = self._met[rows]
        if not met.any():
            return quantized.new_zeros(())
        scores = quantized[met] @ (self._collaborative_vectors[rows[met]] @ self._matrix).T
        return cross_entropy(scores, torch.arange(len(scores)))

    def _diversity(self, level: int, codes: Tensor) -> Tensor:
        """Cross-entropy of finding, from a chosen code, a random other code of its group among all other codes."""
        codebook = self.codebooks[level]
        friend = torch.multinomial(self._alike[level][codes], 1).squeeze(1)
        scores = codebook @ codebook.T
        scores = scores.masked_fill(torch.eye(len(codebook), dtype=torch.bool), -torch.inf)
        return cross_entropy(scores[codes], friend)

    def _group(self) -> None:
        """Groups the codes of each level: [size, size] of 0 and 1, where a code is not in its own group."""
        self._alike = []
        for codebook in (codebook.detach() for codebook in self.codebooks):
            size = len(codebook)
            number = min(_GROUPS, size // 2)  # at least two in each
            generator = torch.Generator().manual_seed(self.seed)
            distance = squared_distances(codebook, kmeans(codebook, number, generator=generator, starts=1))
            group = balanced_assignment(distance, torch.randperm(number))
            self._alike.append((group[:, None] == group).float().fill_diagonal_(0))
