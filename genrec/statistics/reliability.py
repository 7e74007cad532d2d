"""Reliability of predicted probabilities by bins, and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

Z = 1.959964  # of a two-sided 95 % interval


@dataclass(frozen=True)
class Reliability:
    """Predictions in bins of equal size, by ascending probability.

    Equal sizes, not equal widths: almost all probabilities of a recommender are small, and one bin would hold them all.

    Args:
        predicted: mean probability of each bin.
        observed: share of each bin that was observed.
        count: predictions in each bin.
    """

    predicted: Float[np.ndarray, " bins"]
    observed: Float[np.ndarray, " bins"]
    count: Int[np.ndarray, " bins"]

    @property
    def error(self) -> float:
        r"""Expected calibration error (Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", 2015).

        $$\sum_b \frac{n_b}{n} |\text{observed}_b - \text{predicted}_b|$$

        0 without predictions. Small bins have an error of their own: even a perfect forecaster's observed shares scatter.
        """
        total = self.count.sum()
        return float((self.count * np.abs(self.observed - self.predicted)).sum() / total) if total else 0.0


def wilson_interval(
    share: Float[np.ndarray, " bins"], count: Int[np.ndarray, " bins"]
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    """95 % interval of shares of independent trials (Wilson, "Probable inference, the law of succession, and statistical
    inference", 1927); unlike the usual one it is right for shares near zero.

    Args:
        share: observed.
        count: of trials, at least 1.

    Examples:
        >>> low, high = wilson_interval(np.array([0.0, 0.5]), np.array([100, 100]))
        >>> low.round(3).tolist(), high.round(3).tolist()
        ([0.0, 0.404], [0.037, 0.596])
    """
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def reliability(
    probabilities: Float[np.ndarray, " predictions"], came_true: Bool[np.ndarray, " predictions"], *, bins: int
) -> Reliability:
    """Sorts predictions by probability, cuts them into bins of (nearly) equal size, and compares.

    Args:
        probabilities: in [0, 1].
        came_true: whether each prediction did.
        bins: fewer when there are fewer predictions.

    Examples:
        >>> result = reliability(np.array([0.1, 0.1, 0.5, 0.5]), np.array([False, False, True, False]), bins=2)
        >>> result.predicted.tolist(), result.observed.tolist(), result.error
        ([0.1, 0.5], [0.0, 0.5], 0.05)
    """
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, min(bins, len(order))) if len(order) else []
    return Reliability(
        predicted=np.array([probabilities[part].mean() for part in parts], dtype=np.float64),
        observed=np.array([came_true[part].mean() for part in parts], dtype=np.float64),
        count=np.array([len(part) for part in parts], dtype=np.int64),
    )
