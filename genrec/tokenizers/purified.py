"""PRISM's tokenizer (arXiv 2601.16556): content and collaborative vectors quantized together, the latter purified by a gate.

A gate that sees the collaborative vector alone weighs its dimensions, and learns to open as far as the item is popular: what
few users stand behind is mostly noise. One decoder gives back the content, and what the gate let through. At every level the
codes so far must tell the item's category of that depth.

Departures: squared errors of z-scored vectors instead of cosines, so that the decoder gives vectors in the input's own scale;
no LayerNorm before the encoder, its input is z-scored; trained codebooks and revival instead of moving averages and terms of
balance; all terms have their weight from the first step. Anchors (text vectors of categories that codes are drawn to) are left
out: the classifier tells codes the same. The paper's second half, in the generator, is missing. See docs/methods/prism.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from genrec.protocols import TokenizerInputs
from genrec.tokenizers.lib.autoencoder import MODEL_FILE, Autoencoder, mlp, rotation_trick
from genrec.tokenizers.lib.residual import checked_vectors
from genrec.tokenizers.lib.tree_paths import category_paths

_SPREAD = 0.3  # standard deviation that the items' mean gates should have at least
_SPREAD_WEIGHT = 3.5  # beside the gate's own error


class Purified(Autoencoder):
    """An RQ-VAE of content and gated collaborative vectors, with rotated gradients.

    Args:
        num_levels: number of codes per item.
        codebook_size: codes per level.
        source: the content; ``"item"`` is the encoder's joint vector. The paper's is text alone (``"text"`` of a ``concat``
            encoder).
        collaborative: the embeddings that are gated.
        column: of the catalogue: where the category paths stand; null trains without.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        latent_dim: width of the quantized bottleneck.
        steps: optimizer steps.
        batch_size: items per step.
        lr: AdamW learning rate, with 5 % warm-up and linear decay to zero.
        weight_decay: of the networks' weights.
        commitment: weight of the commitment terms, summed over levels.
        collaborative_weight: of the error of the gated vectors; the content's counts 1.
        gate_weight: of the gate's distance from popularity.
        category_weight: of the classifiers, averaged over levels.
        seed: of the start and of the batches.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings", "train"})

    def __init__(
        self,
        *,
        num_levels: int = 3,
        codebook_size: int = 256,
        source: str = "item",
        collaborative: str = "collaborative",
        column: str | None = "categories",
        hidden: Sequence[int] = (256, 128),
        latent_dim: int = 64,
        steps: int = 1000,
        batch_size: int = 512,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        commitment: float = 0.25,
        collaborative_weight: float = 2.0,
        gate_weight: float = 0.8,
        category_weight: float = 0.25,
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
        self.collaborative, self.column, self.collaborative_weight = collaborative, column, collaborative_weight
        self.gate_weight, self.category_weight = gate_weight, category_weight

    def fit(self, inputs: TokenizerInputs) -> None:
        """Trains; the global random state is left as it was.

        Raises:
            ConfigError: when the encoder made no collaborative vectors, or the catalogue has no such column.
            DataError: when a vector is not finite, or the loss is not.
        """
        assert inputs.train is not None
        self._width = checked_vectors(inputs, self.source).shape[1]
        counts = np.log1p(np.bincount(inputs.train.item_idx, minlength=inputs.num_items))
        self._popularity = torch.from_numpy(counts / counts.max(initial=1)).float()
        paths = category_paths(inputs.items, self.column, len(self.sizes)) if self.column else np.empty((inputs.num_items, 0))
        self._labels = torch.from_numpy(paths.astype(np.int64))
        super().fit(inputs)
        del self._popularity, self._labels, self._heads  # of no use after training

    def reconstruct(self, codes: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items dim"]:
        """The content that the leading levels stand for, in its own scale."""
        return super().reconstruct(codes)[:, : self._width]

    def restore(self, folder: Path) -> None:
        state = load_file(folder / MODEL_FILE)
        self._width = len(state["center"]) - state["encoder.gate.0.weight"].shape[1]
        super().restore(folder)

    def _input(self, inputs: TokenizerInputs) -> Tensor:
        content = checked_vectors(inputs, self.source)
        return torch.cat([content, checked_vectors(inputs, self.collaborative, key="collaborative")], dim=1)

    def _build(self, dim: int) -> None:
        super()._build(dim)
        self._encoder = self._gated = _Gated(self._encoder, self._width, dim - self._width)

    def _start(self, latent: Tensor) -> list[nn.Parameter]:
        classes = [int(column.max()) + 1 for column in self._labels.T]
        self._heads = nn.ModuleList(nn.Linear(self.latent_dim, count) for count in classes)
        return [*super()._start(latent), *self._heads.parameters()]

    def _quantize(self, latent: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        chain = self._chain(latent)
        so_far, categories = torch.zeros_like(latent), latent.new_zeros(())
        for head, codebook, codes, label in zip(self._heads, self.codebooks, chain.codes.T, self._labels[rows].T, strict=False):
            so_far = so_far + codebook[codes]
            wrong = cross_entropy(
                head(rotation_trick(latent, so_far)), label, ignore_index=0, reduction="sum"
            )  # 0 is no category
            categories = categories + wrong / label.count_nonzero().clamp(min=1)
        loss = chain.terms.sum() + self.category_weight * categories / max(len(self._heads), 1)
        return rotation_trick(latent, chain.vectors), loss

    def _mismatch(self, decoded: Tensor, vectors: Tensor, rows: Tensor) -> Tensor:
        collaborative_vectors = vectors[:, self._width :]
        gate = self._gated.openness_of(collaborative_vectors)
        content = mse_loss(decoded[:, : self._width], vectors[:, : self._width])
        purified = mse_loss(
            decoded[:, self._width :], (gate * collaborative_vectors).detach()
        )  # else the gate could win by closing
        openness = gate.mean(1)
        trust = mse_loss(openness, self._popularity[rows])
        spread = (_SPREAD**2 - openness.var(correction=0)).clamp(min=0)
        return content + self.collaborative_weight * purified + self.gate_weight * (trust + _SPREAD_WEIGHT * spread)


class _Gated(nn.Module):
    """An encoder before which the dimensions from ``width`` on are gated by themselves."""

    def __init__(self, body: nn.Module, width: int, gated: int) -> None:
        super().__init__()
        self.body, self.width, self.gate = body, width, mlp((gated, gated, gated))

    def openness_of(self, collaborative_vectors: Tensor) -> Tensor:
        return torch.sigmoid(self.gate(collaborative_vectors))

    def forward(self, vectors: Tensor) -> Tensor:
        collaborative_vectors = vectors[:, self.width :]
        return self.body(
            torch.cat([vectors[:, : self.width], self.openness_of(collaborative_vectors) * collaborative_vectors], dim=1)
        )
