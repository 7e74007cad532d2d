"""Optimized product quantization, the codes of RPG (arXiv 2506.05781): a learned rotation, then one codebook per block of it.

Codebooks and rotation take turns: k-means inside each block, then the orthogonal matrix that brings the vectors closest to what
the codes stand for. The blocks are unordered; their natural order is kept. Departures: the start is a PCA whose components are
dealt to the blocks in turn, so that all have a like share of the variance, and blocks may differ by one dimension. See
docs/methods/rpg.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from safetensors.torch import load_file, save_file
from torch import Tensor

from genrec.errors import ConfigError
from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.kmeans import kmeans, lloyd
from genrec.tokenizers.lib.residual import at_least, checked_vectors, nearest

OPQ_FILE = "opq.safetensors"
_MOVES = 3  # Lloyd iterations between two rotations


class OPQ:
    """Product quantization of rotated vectors.

    Args:
        num_levels: number of blocks, the number of codes per item; at most the vectors' dimension.
        codebook_size: codes per block.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector.
        rotations: how often the rotation is learned anew; 0 keeps the PCA.
        seed: of the k-means starts.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    traits: ClassVar[Traits] = Traits(inductive=True, ordered=False, reconstructs=True, scale_free=True)

    def __init__(
        self, *, num_levels: int = 4, codebook_size: int = 256, source: str = "item", rotations: int = 15, seed: int = 0
    ) -> None:
        at_least(1, num_levels=num_levels, codebook_size=codebook_size)
        at_least(0, rotations=rotations)
        self.num_levels, self.codebook_size, self.source = num_levels, codebook_size, source
        self.rotations, self.seed = rotations, seed

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.codebook_size,) * self.num_levels

    def fit(self, inputs: TokenizerInputs) -> None:
        """Learns center, rotation and codebooks.

        Raises:
            ConfigError: when there are more levels than dimensions.
        """
        vectors = checked_vectors(inputs, self.source)
        if self.num_levels > vectors.shape[1]:
            expected = f"at most the {vectors.shape[1]} dimensions of {self.source}"
            raise ConfigError("tokenizer.num_levels", expected=expected, got=self.num_levels, fix="lower it")
        generator = torch.Generator().manual_seed(self.seed)
        self._center = vectors.mean(0)
        centered = vectors - self._center
        axes = torch.linalg.eigh((centered.double().T @ centered.double()) / len(vectors)).eigenvectors.flip(1)
        self._rotation = torch.cat([axes[:, block :: self.num_levels] for block in range(self.num_levels)], dim=1).float()
        parts = self._parts(centered)
        self._codebooks = [kmeans(part, self.codebook_size, generator=generator) for part in parts]
        for _ in range(self.rotations):
            quantized = self._dequantize(self._codes(centered))
            left_vectors, _, right_vectors = torch.linalg.svd(centered.double().T @ quantized.double())
            self._rotation = (left_vectors @ right_vectors).float()
            pairs = zip(self._parts(centered), self._codebooks, strict=True)
            self._codebooks = [lloyd(part, codebook, _MOVES) for part, codebook in pairs]

    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]:
        return self._codes(checked_vectors(inputs, self.source) - self._center).numpy()

    def reconstruct(self, codes: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items dim"]:
        """Returns the vectors that the leading blocks stand for, rotated back; the mean vector stands for the other blocks."""
        quantized = self._dequantize(torch.from_numpy(np.asarray(codes, np.int64)))
        return (quantized @ self._rotation[:, : quantized.shape[1]].T + self._center).numpy()

    def save(self, folder: Path) -> None:
        codebooks = {f"codebook_{block}": codebook for block, codebook in enumerate(self._codebooks)}
        state = {"center": self._center, "rotation": self._rotation, **codebooks}
        save_file({name: value.contiguous() for name, value in state.items()}, folder / OPQ_FILE)

    def restore(self, folder: Path) -> None:
        state = load_file(folder / OPQ_FILE)
        self._center, self._rotation = state["center"], state["rotation"]
        self._codebooks = [state[f"codebook_{block}"] for block in range(self.num_levels)]

    def _parts(self, centered: Float[Tensor, "rows dim"]) -> tuple[Tensor, ...]:
        return (centered @ self._rotation).tensor_split(self.num_levels, dim=1)

    def _codes(self, centered: Float[Tensor, "rows dim"]) -> Int64[Tensor, "rows levels"]:
        pairs = zip(self._parts(centered), self._codebooks, strict=True)
        return torch.stack([nearest(part.contiguous(), codebook)[0] for part, codebook in pairs], dim=1)

    def _dequantize(self, codes: Int64[Tensor, "rows depth"]) -> Float[Tensor, "rows some"]:
        return torch.cat([codebook[code] for codebook, code in zip(self._codebooks, codes.T, strict=False)], dim=1)
