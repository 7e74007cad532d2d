"""A floor as a probability distribution over the whole catalogue, in which no item is impossible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from safetensors.numpy import load_file, save_file
from torch import Tensor

from genrec.batch import Batch
from genrec.dataset import Dataset, Sequences
from genrec.protocols import KeptFloor
from genrec.types import PAD

PRIOR_FILE = "prior.safetensors"
TRIED = np.logspace(-4, 2, 25)  # shares of the mean total score that are tried as strength of the prior


class Smoothed:
    """``p(i | history) = (s_i + strength * q_i) / (sum of s + strength)``, with the floor's scores ``s`` >= 0.

    The prior ``q`` is the popularity in training, plus one event for every item. A history that the floor knows much about
    follows the floor, one that it knows nothing about the prior: Dirichlet smoothing, as for n-grams.

    Args:
        floor: gives the scores.
    """

    def __init__(self, floor: KeptFloor) -> None:
        self.floor, self.strength = floor, 1.0

    def fit(self, dataset: Dataset) -> None:
        """Fits the floor on the training part."""
        self.floor.fit(dataset)
        counts = dataset.train_counts + 1.0
        self.prior = counts / counts.sum()

    def fit_strength(self, batches: list[Batch], items: Int64[np.ndarray, " users"]) -> float:
        """Chooses the strength under which these next items are most likely; returns their mean log-likelihood.

        Args:
            batches: histories.
            items: what came next, in the order of the batches.
        """
        found, totals, start = [], [], 0
        for batch in batches:
            scores, wanted = self._scores(batch), items[start : start + len(batch)]
            found.append(scores[np.arange(len(batch)), wanted])
            totals.append(scores.sum(axis=1))
            start += len(batch)
        score, total = np.concatenate(found), np.concatenate(totals)
        tried = TRIED * max(total.mean(), 1e-12)
        likelihood = [np.log((score + tau * self.prior[items]) / (total + tau)).mean() for tau in tried]
        best = int(np.argmax(likelihood))
        self.strength = float(tried[best])
        return float(likelihood[best])

    def log_probs(self, batch: Batch) -> Float[Tensor, "batch items"]:
        """Log-probability of every item as the next one, on the batch's device."""
        scores = self._scores(batch)
        total = scores.sum(axis=1, keepdims=True) + self.strength
        scores += self.strength * self.prior
        return torch.from_numpy(np.log(scores / total)).float().to(batch.history.device)

    def save(self, folder: Path) -> None:
        """Writes the fitted floor and the prior."""
        self.floor.save(folder)
        save_file({"prior": self.prior, "strength": np.array([self.strength])}, folder / PRIOR_FILE)

    def restore(self, folder: Path) -> None:
        """Reads what ``save`` wrote."""
        self.floor.restore(folder)
        state = load_file(folder / PRIOR_FILE)
        self.prior, self.strength = state["prior"], float(state["strength"][0])

    def _scores(self, batch: Batch) -> Float[np.ndarray, "batch items"]:
        history, lengths = batch.history.cpu().numpy(), batch.lengths.cpu().numpy()
        sequences = Sequences(history[history != PAD].astype(np.int32), np.concatenate([[0], np.cumsum(lengths)]))
        return np.maximum(np.asarray(self.floor.score(sequences), dtype=np.float64), 0.0)
