"""Weights and smoothings of a product of experts, fitted to the next items of a sample of users (docs/methods/fusion.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64
from scipy.optimize import minimize
from scipy.special import logsumexp

TRIED = np.logspace(-3, 2, 11)  # smoothings, in units of the mean score above 0


@dataclass(frozen=True)
class Fitted:
    """A product of experts.

    Args:
        weights: of the scorers' log-probabilities, each >= 0.
        smoothings: scorer -> what is added to its scores.
        log_probs: of each candidate by each scorer under these smoothings, up to a constant per user.
        log_likelihood: of the targets among their candidates, mean over users.
    """

    weights: Float[np.ndarray, " scorers"]
    smoothings: Mapping[int, float]
    log_probs: Float[np.ndarray, "users candidates scorers"]
    log_likelihood: float


def fit_experts(
    log_probs: Float[np.ndarray, "users candidates scorers"],
    target: Int64[np.ndarray, " users"],
    scores: Mapping[int, Float[np.ndarray, "users candidates"]],
) -> Fitted:
    """Chooses the smoothing of each scorer, one after the other, and the weights, by the likelihood of the targets.

    Args:
        log_probs: of each candidate by each scorer; -inf where the row has no more candidates.
        target: the target's place among the candidates.
        scores: scorer -> its scores before smoothing, >= 0. Its column of ``log_probs`` may then be anything.
    """
    log_probs = np.array(log_probs, dtype=np.float64)
    empty: np.ndarray = (log_probs == -np.inf).any(axis=2)
    smoothings = {}
    for scorer, raw in scores.items():
        likelihoods = {}
        positive = raw[~empty & (raw > 0)]
        for smoothing in TRIED * (positive.mean() if positive.size else 1.0):
            log_probs[..., scorer] = np.where(empty, -np.inf, np.log(raw + smoothing))
            likelihoods[float(smoothing)] = _likelihood(log_probs, target, fit_weights(log_probs, target))
        smoothings[scorer] = max(likelihoods, key=likelihoods.__getitem__)
        log_probs[..., scorer] = np.where(empty, -np.inf, np.log(raw + smoothings[scorer]))
    weights = fit_weights(log_probs, target)
    return Fitted(weights, smoothings, log_probs, _likelihood(log_probs, target, weights))


def fit_weights(
    log_probs: Float[np.ndarray, "users candidates scorers"], target: Int64[np.ndarray, " users"]
) -> Float[np.ndarray, " scorers"]:
    """The weights >= 0 under which the targets are most likely among their candidates.

    ``p(i) = softmax over the user's candidates of sum_m w_m log p_m(i)``: a product of experts. The likelihood is concave in
    the weights, so there is one optimum and no grid. A scorer's temperature needs no parameter of its own: within a user, a
    softmax at another temperature is the same log-probabilities times a constant, which the weight takes up. A prior worth
    one user holds the weights near equal shares where few users say otherwise. Where the targets speak against every scorer,
    the shares are equal: all weights 0 would rank nothing.

    Args:
        log_probs: of each candidate by each scorer, up to a constant per user; -inf where the row has no more candidates.
        target: the target's place among the candidates.
    """
    users, _, scorers = log_probs.shape
    empty, values = _beside_target(log_probs, target)
    equal = np.full(scorers, 1 / scorers)

    def loss(weights: Float[np.ndarray, " scorers"]) -> tuple[float, Float[np.ndarray, " scorers"]]:
        keys = np.where(empty, -np.inf, values @ weights)
        total = logsumexp(keys, axis=1)
        shares = np.exp(keys - total[:, None])
        off = weights - equal
        return (total.sum() + off @ off / 2) / users, (np.tensordot(shares, values, axes=2) + off) / users

    weights = np.asarray(minimize(loss, equal, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * scorers).x)
    return weights if weights.any() else equal


def _likelihood(log_probs: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    empty, values = _beside_target(log_probs, target)
    return float(-logsumexp(np.where(empty, -np.inf, values @ weights), axis=1).mean())


def _beside_target(log_probs: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which entries are none, and the differences from the target's log-probabilities."""
    empty: np.ndarray = (log_probs == -np.inf).any(axis=2)
    values = np.where(empty[..., None], 0.0, log_probs).astype(np.float64)
    return empty, values - values[np.arange(len(values)), target][:, None, :]
