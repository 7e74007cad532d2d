"""A baseline as a probability distribution over the whole catalogue, in which no item is impossible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.dataset import Dataset, Sequences
from genrec.protocols import SavableBaseline
from genrec.types import PAD


def precise(device: torch.device) -> torch.dtype:
    """float64 where there is one: baselines break ties by differences that float32 would round away under a smoothing."""
    return torch.float32 if device.type == "mps" else torch.float64


class Smoothed:
    """``p(i | history) = (s_i + smoothing) / sum over items of (s + smoothing)``, with the baseline's scores ``s`` >= 0.

    Items that a baseline knows nothing about keep a little probability, the same for all. A small smoothing separates items
    with some score from those with none. A large one makes log-probabilities nearly linear in the scores. The ranking is that
    of the baseline.

    Args:
        baseline: gives the scores.
    """

    def __init__(self, baseline: SavableBaseline) -> None:
        self.baseline, self.smoothing = baseline, 1.0

    def fit(self, dataset: Dataset) -> None:
        """Fits the baseline on the training part."""
        self.baseline.fit(dataset)

    def scores(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """The baseline's own scores of every item, on the batch's device."""
        history, lengths = batch.history.cpu().numpy(), batch.lengths.cpu().numpy()
        sequences = Sequences(history[history != PAD].astype(np.int32), np.concatenate([[0], np.cumsum(lengths)]))
        scores = np.maximum(np.asarray(self.baseline.score(sequences), dtype=np.float64), 0.0)
        return torch.from_numpy(scores).to(batch.history.device, precise(batch.history.device))

    def log_probs(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """Log-probability of every item as the next one."""
        smooth = self.scores(batch) + self.smoothing
        return (smooth / smooth.sum(dim=1, keepdim=True)).log()

    def with_items(self, num_items: int) -> Smoothed:
        """The same for a catalogue with more items."""
        grown = Smoothed(self.baseline.with_items(num_items))
        grown.smoothing = self.smoothing
        return grown

    def save(self, folder: Path) -> None:
        """Writes the fitted baseline."""
        self.baseline.save(folder)

    def restore(self, folder: Path) -> None:
        """Reads what ``save`` wrote."""
        self.baseline.restore(folder)
