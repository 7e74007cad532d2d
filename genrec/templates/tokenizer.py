"""mine: codes by random directions. Change it into yours; the contract suite beside it says when it is one."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from safetensors.numpy import load_file, save_file

from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.residual import checked_vectors


class Mine:
    """Each level is a random direction; a code is a range of positions along it, with equally many items in each.

    Args:
        num_levels: codes per item.
        codebook_size: codes per level.
        seed: of the directions.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})  # of {"embeddings", "train"}
    traits: ClassVar[Traits] = Traits(inductive=True, ordered=False, reconstructs=False)  # what the tests may ask for

    def __init__(self, *, num_levels: int = 3, codebook_size: int = 256, seed: int = 0) -> None:
        self.num_levels, self.codebook_size, self.seed = num_levels, codebook_size, seed

    @property
    def sizes(self) -> tuple[int, ...]:
        """Returns the number of codes of each level."""
        return (self.codebook_size,) * self.num_levels

    def fit(self, inputs: TokenizerInputs) -> None:
        vectors = self._vectors(inputs)
        self.center = vectors.mean(axis=0)
        self.directions = np.random.default_rng(self.seed).standard_normal((self.num_levels, vectors.shape[1]))
        inner = np.linspace(0, 1, self.codebook_size + 1)[1:-1]
        self.borders = np.quantile(self._positions(vectors), inner, axis=0)  # [codebook_size - 1, levels]

    def encode(self, inputs: TokenizerInputs) -> np.ndarray:
        positions = self._positions(self._vectors(inputs))
        levels = [np.searchsorted(self.borders[:, level], positions[:, level]) for level in range(self.num_levels)]
        return np.stack(levels, axis=1)

    def save(self, folder: Path) -> None:
        state = {"center": self.center, "directions": self.directions, "borders": self.borders}
        save_file(state, folder / "state.safetensors")

    def restore(self, folder: Path) -> None:
        state = load_file(folder / "state.safetensors")
        self.center, self.directions, self.borders = state["center"], state["directions"], state["borders"]

    def _positions(self, vectors: np.ndarray) -> np.ndarray:
        """Returns float64 [items, levels]; each row by itself, so that an item has the same codes alone as among others."""
        centred = vectors - self.center
        return np.stack([(centred * direction).sum(axis=1) for direction in self.directions], axis=1)

    @staticmethod
    def _vectors(inputs: TokenizerInputs) -> np.ndarray:
        """Returns the encoder's joint vectors, float64 [items, dim], none of them NaN."""
        return checked_vectors(inputs, "item").double().numpy()
