"""Residual k-means as tokenizers use it: the whole of ``rq_kmeans``, which its variants extend."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.kmeans import group_means, kmeans
from genrec.tokenizers.lib.residual import (
    Residual,
    at_least,
    checked_vectors,
    decode,
    nearest,
    residual_after,
    residual_encode,
    squared_distances,
)

CODEBOOKS_FILE = "codebooks.safetensors"
_SAMPLE = 256  # rows a code (and at least _SMALLEST in all) that its place is found on before all rows correct it
_SMALLEST = 1 << 16
_PASSES = 2  # Lloyd iterations over all rows of a catalogue that is larger than its sample


class ResidualKMeans:
    """Fits, encodes and keeps the codebooks; ``RQKMeans`` says what the parameters mean."""

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    traits: ClassVar[Traits] = Traits(inductive=True, ordered=True, reconstructs=True, scale_free=True)

    def __init__(
        self,
        *,
        num_levels: int = 3,
        codebook_size: int = 256,
        source: str = "item",
        iterations: int = 25,
        starts: int = 2,
        normalize_residuals: bool = True,
        seed: int = 0,
    ) -> None:
        at_least(1, num_levels=num_levels, codebook_size=codebook_size, starts=starts)
        self.num_levels, self.codebook_size, self.source = num_levels, codebook_size, source
        self.iterations, self.starts, self.normalize_residuals, self.seed = iterations, starts, normalize_residuals, seed

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.codebook_size,) * self.num_levels

    def fit(self, inputs: TokenizerInputs) -> None:
        vectors = checked_vectors(inputs, self.source)
        generator = torch.Generator().manual_seed(self.seed)
        codes = torch.empty(len(vectors), self.num_levels, dtype=torch.int64)
        self._center = vectors.mean(0)
        self.codebooks: list[Tensor] = []
        self.means: list[Tensor] = []
        for level, size in enumerate(self.sizes):
            so_far = codes[:, :level]
            residual = Residual(vectors, so_far, self.codebooks, self._center, self.normalize_residuals)
            codebook, codes[:, level] = self._quantize(residual, size, generator)
            unexplained = Residual(vectors, so_far, self.means, self._center, normalize=False)
            parts = ((unexplained[rows], codes[rows, level]) for rows in unexplained.chunks())
            self.means.append(group_means(parts, torch.zeros_like(codebook)))
            self.codebooks.append(codebook)

    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]:
        vectors = checked_vectors(inputs, self.source)
        return residual_encode(vectors, self.codebooks, center=self._center, normalize=self.normalize_residuals).numpy()

    def reconstruct(self, codes: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items dim"]:
        """The vectors that the leading levels stand for: the means of their items, level by level."""
        return (decode(torch.from_numpy(np.asarray(codes, np.int64)), self.means) + self._center).numpy()

    def level_costs(self, inputs: TokenizerInputs, prefix: Int[np.ndarray, "items depth"]) -> Float[np.ndarray, "items size"]:
        """Squared distance of what ``prefix`` leaves of each item to each code of the next level."""
        vectors, codes = checked_vectors(inputs, self.source), torch.from_numpy(np.asarray(prefix, np.int64))
        residual = residual_after(vectors, codes, self.codebooks, center=self._center, normalize=self.normalize_residuals)
        return squared_distances(residual, self.codebooks[codes.shape[1]]).numpy()

    def save(self, folder: Path) -> None:
        levels = enumerate(zip(self.codebooks, self.means, strict=True))
        named = {
            f"{name}_{level}": table for level, pair in levels for name, table in zip(("codes", "means"), pair, strict=True)
        }
        save_file(named | {"center": self._center}, folder / CODEBOOKS_FILE)

    def restore(self, folder: Path) -> None:
        tables = load_file(folder / CODEBOOKS_FILE)
        self._center = tables.get("center", torch.zeros(tables["codes_0"].shape[1]))  # older ones measured from the origin
        self.codebooks, self.means = ([tables[f"{name}_{i}"] for i in range(self.num_levels)] for name in ("codes", "means"))

    def _quantize(self, residual: Residual, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Fits one level: returns its codebook and the code of each row."""
        enough = max(_SAMPLE * size, _SMALLEST)
        sampled = len(residual) > enough
        sample = residual[torch.randperm(len(residual), generator=generator)[:enough].sort().values] if sampled else residual[:]
        codebook = kmeans(sample, size, generator=generator, iterations=self.iterations, starts=self.starts)
        for _ in range(_PASSES if sampled else 0):
            chunks = (residual[rows] for rows in residual.chunks())
            codebook = group_means(((chunk, nearest(chunk, codebook)[0]) for chunk in chunks), codebook)
        return codebook, torch.cat([nearest(residual[rows], codebook)[0] for rows in residual.chunks()])
