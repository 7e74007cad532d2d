"""MPQ, the tokenizer of REG4Rec (arXiv 2508.15308): experts that each give an item one code, side by side and without order.

Every expert maps the vector and picks the nearest code of a book of its own; a gate weighs what the experts picked, and a
decoder gives the vector back. Experts that see the whole vector learn the same thing (two of them shared .75 of their
information in a trial, docs/lab.md). Here each sees a part of its own: the principal components are dealt to the experts in
turn, so that their projections are orthogonal by construction, which the paper asks of them by a penalty. See
docs/methods/reg4rec.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from genrec.errors import ConfigError
from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.autoencoder import Autoencoder, mlp, revive_codes, straight_through
from genrec.tokenizers.lib.kmeans import kmeans
from genrec.tokenizers.lib.residual import nearest, squared_distances

_LEAST_GATE = 0.25  # of an equal share: no expert starves
_ITERATIONS = 10  # of the k-means that books start from


class MPQ(Autoencoder):
    """Parallel codes of experts on disjoint, orthogonal parts of the vector.

    Args:
        num_levels: number of experts, the number of codes per item; at most the vectors' dimension.
        codebook_size: codes per expert.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector.
        hidden: widths of each expert's hidden layers; the decoder mirrors them.
        latent_dim: width of each expert's output.
        steps: optimizer steps.
        batch_size: items per step.
        lr: AdamW learning rate, with 5 % warm-up and linear decay to zero.
        weight_decay: of the networks' weights.
        commitment: weight of the commitment terms, averaged over experts.
        seed: of the start and of the batches.
    """

    traits = Traits(inductive=True, ordered=False, reconstructs=False, scale_free=True)  # a gate is no function of codes

    def __init__(
        self,
        *,
        num_levels: int = 8,
        codebook_size: int = 256,
        source: str = "item",
        hidden: Sequence[int] = (64,),
        latent_dim: int = 16,
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

    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]:
        return self._codes(self._parts(self._latent_of(inputs))).numpy()

    def level_costs(self, inputs: TokenizerInputs, prefix: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items size"]:
        """Squared distance of the output of expert ``depth`` to each of its codes; what the others picked does not matter."""
        level = np.asarray(prefix).shape[1]
        return squared_distances(self._parts(self._latent_of(inputs))[level], self.codebooks[level]).numpy()

    def gates(self, inputs: TokenizerInputs) -> Float[np.ndarray, "items levels"]:
        """Returns the weight of each expert, 1 on average."""
        with torch.no_grad():
            return self._experts.weigh((self._input(inputs) - self._center) / self._scale).numpy()

    # --- training ------------------------------------------------------------------------------------------------------

    def _train(self, vectors: Float[Tensor, "items dim"]) -> None:
        if self.num_levels > vectors.shape[1]:
            expected = f"at most the {vectors.shape[1]} dimensions of {self.source}"
            raise ConfigError("tokenizer.num_levels", expected=expected, got=self.num_levels, fix="lower it")
        self._vectors = vectors
        super()._train(vectors)
        del self._vectors  # of no use after training

    def _build(self, dim: int) -> None:
        self._encoder = self._experts = _Experts(dim, self.num_levels, self.hidden, self.latent_dim)
        self._decoder = mlp((self.num_levels * self.latent_dim, *reversed(self.hidden), dim))

    def _start(self, latent: Float[Tensor, "rows dim"]) -> list[nn.Parameter]:
        self._experts.turn(self._vectors)
        return super()._start(self._encode_latent(self._vectors[torch.randperm(len(self._vectors))[: len(latent)]]))

    def _quantize(self, latent: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        weights = self._experts.weigh(self._vectors[rows])
        weighted, terms = [], []
        for level, part in enumerate(self._parts(latent)):
            codebook = self.codebooks[level]
            chosen = codebook[self._choose(part.detach(), codebook.detach(), level)]
            weighted.append(weights[:, level : level + 1] * straight_through(part, chosen))
            terms.append(mse_loss(chosen, part.detach()) + self.commitment * mse_loss(part, chosen.detach()))
        return torch.cat(weighted, dim=1), torch.stack(terms).mean()

    def _centroids(self, latent: Float[Tensor, "rows dim"]) -> list[Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        pairs = zip(self._parts(latent), self.sizes, strict=True)
        return [kmeans(part, size, generator=generator, iterations=_ITERATIONS, starts=1) for part, size in pairs]

    def _refresh(self, latent: Float[Tensor, "rows dim"], done: float) -> None:
        for part, codebook in zip(self._parts(latent), self.codebooks, strict=True):
            revive_codes(part, codebook)

    def _parts(self, latent: Float[Tensor, "rows dim"]) -> list[Float[Tensor, "rows part"]]:
        return [part.contiguous() for part in latent.split(self.latent_dim, dim=1)]

    def _codes(self, parts: list[Tensor]) -> Int64[Tensor, "rows levels"]:
        return torch.stack([nearest(part, codebook)[0] for part, codebook in zip(parts, self.codebooks, strict=True)], dim=1)


class _Experts(nn.Module):
    """Maps of disjoint parts of the turned vector, side by side, and the gate that weighs them by the whole vector."""

    rotation: Tensor

    def __init__(self, dim: int, num_experts: int, hidden: Sequence[int], latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("rotation", torch.eye(dim))
        widths = [len(part) for part in torch.arange(dim).tensor_split(num_experts)]
        self.maps = nn.ModuleList(mlp((width, *hidden, latent_dim)) for width in widths)
        self.gate = nn.Linear(dim, num_experts)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.gate.bias)

    def turn(self, vectors: Float[Tensor, "rows dim"]) -> None:
        """Deals the principal components of (centred) vectors to the experts in turn: all get a like share of the variance."""
        axes = torch.linalg.eigh((vectors.double().T @ vectors.double()) / len(vectors)).eigenvectors.flip(1)
        dealt = [axes[:, expert :: len(self.maps)] for expert in range(len(self.maps))]
        self.rotation = torch.cat(dealt, dim=1).float()

    def forward(self, vectors: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows latents"]:
        parts = (vectors @ self.rotation).tensor_split(len(self.maps), dim=1)
        return torch.cat([expert(part) for expert, part in zip(self.maps, parts, strict=True)], dim=1)

    def weigh(self, vectors: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows experts"]:
        equal = 1 / len(self.maps)
        return (_LEAST_GATE * equal + (1 - _LEAST_GATE) * self.gate(vectors).softmax(dim=1)) * len(self.maps)
