"""Weights of several experts, fitted to what really came next."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64
from scipy.optimize import minimize
from scipy.special import logsumexp


def fit_weights(
    log_probs: Float[np.ndarray, "users candidates members"], target: Int64[np.ndarray, " users"]
) -> Float[np.ndarray, " members"]:
    """The weights >= 0 under which the targets are most likely among their candidates.

    ``p(i) = softmax over the user's candidates of sum_m w_m log p_m(i)``: a product of experts. The likelihood is concave in
    the weights, so there is one optimum and no grid. A member's temperature needs no parameter of its own: within a user, a
    softmax at another temperature is the same log-probabilities times a constant, which the weight takes up. A prior worth
    one user holds the weights near equal shares where few users say otherwise.

    Args:
        log_probs: of each candidate by each member; -inf where the row has no more candidates.
        target: the target's place among the candidates.
    """
    users, _, members = log_probs.shape
    valid = np.isfinite(log_probs).all(axis=2)
    values = np.where(valid[..., None], log_probs, 0.0).astype(np.float64)
    values -= values[np.arange(users), target][:, None, :]  # beside the target, whose key becomes 0
    equal = np.full(members, 1 / members)

    def loss(weights: Float[np.ndarray, " members"]) -> tuple[float, Float[np.ndarray, " members"]]:
        keys = np.where(valid, values @ weights, -np.inf)
        total = logsumexp(keys, axis=1)
        shares = np.exp(keys - total[:, None])
        gradient = np.einsum("uc,ucm->m", shares, values)
        off = weights - equal
        return (total.sum() + off @ off / 2) / users, (gradient + off) / users

    return np.asarray(minimize(loss, equal, jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * members).x)
