"""Samples of related pairs (an item and its user, companion or successor), and InfoNCE between the two sides of the pairs."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from scipy import sparse
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize


class Draw:
    """Draws neighbours in a graph by the weights of its edges, with the global random state.

    Args:
        graph: [rows, columns], weights > 0.
    """

    def __init__(self, graph: sparse.csr_array) -> None:
        self._ends = torch.from_numpy(graph.indptr.astype(np.int64))
        self._columns = torch.from_numpy(graph.indices.astype(np.int64))
        self._cumulative = torch.cat([torch.zeros(1, dtype=torch.float64), torch.from_numpy(graph.data).double().cumsum(0)])

    def can(self, rows: Int64[Tensor, " some"]) -> Bool[Tensor, " some"]:
        """Returns which rows have a neighbour."""
        return self._ends[rows + 1] > self._ends[rows]

    def draw(self, rows: Int64[Tensor, " some"]) -> Int64[Tensor, " some"]:
        """Draws a neighbour of each row; every row must have one."""
        low, high = self._cumulative[self._ends[rows]], self._cumulative[self._ends[rows + 1]]
        mark = low + (high - low) * torch.rand(len(rows), dtype=torch.float64)
        edge = torch.searchsorted(self._cumulative, mark, right=True)
        return self._columns[torch.minimum(edge, self._ends[rows + 1]) - 1]  # rounding could lead one too far


TEMPERATURE = 0.07


def scores(first: Float[Tensor, "rows dim"], second: Float[Tensor, "others dim"]) -> Float[Tensor, "rows others"]:
    """Cosines, as logits."""
    return normalize(first) @ normalize(second).T / TEMPERATURE


def contrast(first: Float[Tensor, "rows dim"], second: Float[Tensor, "rows dim"]) -> Float[Tensor, ""]:
    """Cross-entropy of row i of one picking row i of the other, in both directions."""
    logits, labels = scores(first, second), torch.arange(len(first))
    return (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2
