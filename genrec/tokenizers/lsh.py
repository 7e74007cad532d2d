"""Locality-sensitive hashing: the bits of a code say on which side of random hyperplanes a vector lies. Nothing is trained.

An ablation of TIGER (arXiv 2305.05065), with two departures (docs/methods/lsh.md): the directions of a level are
orthogonal, and every hyperplane passes through the median of the catalogue, so that each bit is on for half of the items (with
uncentred vectors and hyperplanes through zero, all bits are equal).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from genrec.protocols import TokenizerInputs, Traits
from genrec.tokenizers.lib.residual import at_least, checked_vectors

PLANES_FILE = "planes.safetensors"
_ROUNDING = 1e-5  # of the vectors' scale: no hyperplane passes between values that differ by less


class LSH:
    """Codes of random hyperplanes; levels are independent of each other, so their order means nothing.

    Args:
        num_levels: number of codes per item.
        num_bits: hyperplanes per level; a level has ``2 ** num_bits`` codes.
        source: which embeddings to hash; ``"item"`` is the encoder's joint vector.
        seed: of the directions.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embeddings"})
    traits: ClassVar[Traits] = Traits(inductive=True, ordered=False, reconstructs=False, scale_free=True)

    def __init__(self, *, num_levels: int = 4, num_bits: int = 8, source: str = "item", seed: int = 0) -> None:
        at_least(1, num_levels=num_levels, num_bits=num_bits)
        self.num_levels, self.num_bits, self.source, self.seed = num_levels, num_bits, source, seed

    @property
    def sizes(self) -> tuple[int, ...]:
        return (2**self.num_bits,) * self.num_levels

    def fit(self, inputs: TokenizerInputs) -> None:
        vectors = checked_vectors(inputs, self.source)
        generator = torch.Generator().manual_seed(self.seed)
        levels = [_directions(vectors.shape[1], self.num_bits, generator) for _ in range(self.num_levels)]
        self._center = vectors.mean(0)
        self._directions = torch.cat(levels, dim=1)
        values = ((vectors - self._center) @ self._directions).numpy()
        rounding = _ROUNDING * max(float(vectors.abs().amax()), float(np.abs(values).max()))
        self._thresholds = torch.tensor([_median_gap(column, rounding) for column in values.T], dtype=torch.float32)

    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]:
        values = (checked_vectors(inputs, self.source) - self._center) @ self._directions
        bits = (values > self._thresholds).view(len(values), self.num_levels, self.num_bits).long()
        return (bits << torch.arange(self.num_bits)).sum(-1).numpy()

    def save(self, folder: Path) -> None:
        state = {"center": self._center, "directions": self._directions, "thresholds": self._thresholds}
        save_file({name: value.contiguous() for name, value in state.items()}, folder / PLANES_FILE)

    def restore(self, folder: Path) -> None:
        state = load_file(folder / PLANES_FILE)
        self._center, self._directions, self._thresholds = state["center"], state["directions"], state["thresholds"]


def _directions(dim: int, count: int, generator: torch.Generator) -> Float[Tensor, "dim count"]:
    """Returns random unit directions, orthogonal in sets of as many as there are dimensions."""
    sets = []
    for start in range(0, count, dim):
        sets.append(torch.linalg.qr(torch.randn(dim, min(dim, count - start), generator=generator))[0])
    return torch.cat(sets, dim=1)


def _median_gap(values: Float[np.ndarray, " items"], rounding: float) -> float:
    """The middle of the gap next to the median: equal items fall on the same side, however their products are rounded."""
    ordered = np.sort(values.astype(np.float64))
    gaps = np.flatnonzero(np.diff(ordered) > rounding)
    if len(gaps) == 0:
        return float(ordered[-1] + 1)
    below = gaps[np.abs(gaps - (len(ordered) - 1) / 2).argmin()]
    return float((ordered[below] + ordered[below + 1]) / 2)
