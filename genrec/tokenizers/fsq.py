"""Finite scalar quantization (FSQ, arXiv 2309.15505): every dimension of a narrow bottleneck is rounded to a few values.

``parallel`` gives each level dimensions of its own, all rounded at once, as RecGPT (arXiv 2506.06270) does; ``residual`` lets
level n + 1 divide the cells of level n. Nothing is learned but the networks: a level's codebook is the grid of all its points,
and rounding is choosing the nearest of them.

Departures: the bottleneck is bounded so that every value has an equally wide cell, for even and odd counts alike; one MLP sees
the whole vector (RecGPT cuts it into chunks of raw dimensions and joins them by a small transformer) and the error is squared.
RecGPT's grid is 8 x 8 x 8 x 6 x 5: 15,360 codes a level, more than a catalogue of ten thousand items can teach. See
docs/methods/fsq.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from genrec.protocols import Traits
from genrec.tokenizers.lib.autoencoder import Autoencoder, straight_through
from genrec.tokenizers.lib.residual import at_least


class FSQ(Autoencoder):
    """Codes that no training can collapse into one: a level has as many as its grid has points.

    Args:
        form: ``parallel`` or ``residual``; parallel levels have no order.
        num_levels: number of codes per item.
        grid: number of values of each of a level's dimensions; a level has their product of codes.
        source: which embeddings to quantize; ``"item"`` is the encoder's joint vector.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        steps: optimizer steps.
        batch_size: items per step.
        lr: AdamW learning rate, with 5 % warm-up and linear decay to zero.
        weight_decay: of the networks' weights.
        seed: of the start and of the batches.
    """

    def __init__(
        self,
        *,
        form: Literal["parallel", "residual"] = "parallel",
        num_levels: int = 4,
        grid: Sequence[int] = (4, 4, 4, 4),
        source: str = "item",
        hidden: Sequence[int] = (256, 128),
        steps: int = 1000,
        batch_size: int = 512,
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        seed: int = 0,
    ) -> None:
        at_least(1, num_levels=num_levels)
        at_least(2, grid=min(grid, default=0))
        super().__init__(
            sizes=(prod(grid),) * num_levels,
            source=source,
            hidden=hidden,
            latent_dim=len(grid) * (num_levels if form == "parallel" else 1),
            steps=steps,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            commitment=0.0,
            seed=seed,
        )
        self.form, self.grid = form, tuple(grid)
        self.traits = Traits(inductive=True, ordered=form == "residual", reconstructs=True, scale_free=True)

    def _bound(self, latent: Tensor) -> Tensor:
        """Into half a cell beyond the outermost values, -1 and 1."""
        counts = torch.tensor(self.grid, dtype=latent.dtype).repeat(latent.shape[1] // len(self.grid))
        reach = counts / (counts - 1)
        return reach * torch.tanh(latent / reach)

    def _start(self, latent: Tensor) -> list[nn.Parameter]:
        points = torch.tensor(list(product(*([*torch.linspace(-1, 1, count).tolist()] for count in self.grid))))
        width = len(self.grid)
        if self.form == "residual":  # a cell of one level is as wide as all the values of the next
            self.codebooks = [points / torch.tensor(self.grid) ** level for level in range(len(self.sizes))]
        else:  # zero outside the level's own dimensions, which therefore decide alone
            self.codebooks = [points.new_zeros(len(points), self.latent_dim) for _ in self.sizes]
            for level, codebook in enumerate(self.codebooks):
                codebook[:, level * width : (level + 1) * width] = points
        return []

    def _refresh(self, latent: Tensor, done: float) -> None:
        """Grids stay as they are."""

    def _quantize(self, latent: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return straight_through(latent, self._chain(latent).vectors), latent.new_zeros(())
