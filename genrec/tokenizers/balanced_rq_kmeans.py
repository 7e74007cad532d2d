"""Balanced residual k-means (OneRec, arXiv 2502.18965): at every level all codes have equally many items.

Departures: the start is k-means++ instead of random rows; the order in which clusters choose their items is drawn anew in
every round, so that it is not always the same clusters that are left with distant items; the first ``items mod size`` clusters
of that order get one item more. Residuals are scaled as in ``rq_kmeans``. See docs/methods/residual_kmeans.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from genrec.protocols import TokenizerInputs
from genrec.tokenizers.lib.kmeans import balanced_assignment, group_means, plus_plus
from genrec.tokenizers.lib.lookup_codes import CodeTable
from genrec.tokenizers.lib.residual import Residual, squared_distances
from genrec.tokenizers.lib.residual_kmeans import ResidualKMeans
from genrec.types import ITEM_ID

_SETTLED = 1e-3  # share of the items that may still change when the rounds stop


class BalancedRQKMeans(ResidualKMeans):
    """Residual k-means with clusters whose sizes differ by at most one.

    Fitted items keep the codes that the balance gave them, looked up by ``item_id``: the nearest code would undo it. Only
    unseen items get the nearest code. Balance per level does not make IDs unique: that is left to the collision policy.

    Args:
        num_levels: number of codes per item.
        codebook_size: codes per level.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector.
        rounds: most rounds of assigning and averaging per level.
        normalize_residuals: scale residuals to length one (see ``rq_kmeans``).
        seed: of the starts and of the orders.
    """

    def __init__(
        self,
        *,
        num_levels: int = 3,
        codebook_size: int = 256,
        source: str = "item",
        rounds: int = 50,
        normalize_residuals: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(
            num_levels=num_levels,
            codebook_size=codebook_size,
            source=source,
            iterations=rounds,
            normalize_residuals=normalize_residuals,
            seed=seed,
        )
        self.rounds = rounds

    def fit(self, inputs: TokenizerInputs) -> None:
        self._levels: list[Tensor] = []
        super().fit(inputs)
        self._fitted = CodeTable(inputs.items[ITEM_ID], torch.stack(self._levels, dim=1).numpy())

    def encode(self, inputs: TokenizerInputs) -> Int[np.ndarray, "items levels"]:
        nearest_codes = super().encode(inputs)
        issued, was_fitted = self._fitted.look_up(inputs.items[ITEM_ID])
        return np.where(was_fitted[:, None], issued, nearest_codes)

    def save(self, folder: Path) -> None:
        super().save(folder)
        self._fitted.save(folder)

    def restore(self, folder: Path) -> None:
        super().restore(folder)
        self._fitted = CodeTable.load(folder)

    def _quantize(self, residual: Residual, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        vectors = residual[:]
        codebook = plus_plus(vectors, size, generator)
        codes = torch.full((len(vectors),), -1)
        for _ in range(self.iterations):
            previous, order = codes, torch.randperm(size, generator=generator)
            codes = balanced_assignment(squared_distances(vectors, codebook), order)
            codebook = group_means([(vectors, codes)], codebook)
            if int((codes != previous).sum()) <= _SETTLED * len(codes):
                break
        self._levels.append(codes)
        return codebook, codes
