"""Whether lists hold categories in the proportions of the history."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, Int64

from genrec.protocols.metrics import Lists, MetricInputs

SMOOTHING = 0.01  # alpha of the paper: keeps the divergence finite for categories that a list lacks
CELLS_AT_ONCE = 2_000_000  # users times categories, 16 MB


def miscalibration(lists: Lists, shares: sparse.csr_array) -> Float[np.ndarray, " users"]:
    r"""Divergence of a list's categories from those of the user's history, in nats: 0 for the same proportions, at most
    ln(1 / alpha) = 4.6.

    $$\text{miscalibration@}k = \sum_g p_g \ln \frac{p_g}{\tilde q_g}, \qquad \tilde q = (1 - \alpha)\, q + \alpha\, p$$

    where p and q are the mean category shares of the items of the history and of the list. Steck, "Calibrated recommendations",
    RecSys 2018, with alpha = .01 and all items of a history weighing the same. Items without a category are left out; NaN for
    users whose history or list holds no categorized item.

    Args:
        lists: item_idx, with histories.
        shares: see ``category_shares``.

    Examples:
        A history of one category; a list of it, and one half of another:

        >>> from genrec.core.dataset import Sequences
        >>> histories, shares = Sequences(np.array([0, 0]), np.array([0, 1, 2])), sparse.csr_array(np.eye(2))
        >>> miscalibration(Lists(np.array([[0, -1], [0, 1]]), histories), shares).round(4).tolist()
        [0.0, 0.6832]
    """
    users, categories = len(lists.items), max(shares.shape[1], 1)
    result = np.full(users, np.nan)
    had = _mean_shares(lists.histories.user_idx, lists.histories.item_idx, users, shares)
    row, column = np.nonzero(lists.listed)
    shown = _mean_shares(row, lists.items[row, column], users, shares)
    step = max(1, CELLS_AT_ONCE // categories)
    for start in range(0, users, step):
        p, q = (matrix[start : start + step].toarray() for matrix in (had, shown))
        smoothed = (1 - SMOOTHING) * q + SMOOTHING * p
        terms = p * np.log(np.divide(p, smoothed, out=np.ones_like(p), where=p > 0))
        is_defined = (p.sum(axis=1) > 0) & (q.sum(axis=1) > 0)
        result[start : start + step] = np.where(is_defined, terms.sum(axis=1), np.nan)
    return result


def _mean_shares(
    user: Int64[np.ndarray, " events"], item: Int64[np.ndarray, " events"], users: int, shares: sparse.csr_array
) -> sparse.csr_array:
    """[users, categories]: mean over each user's categorized items."""
    owned = sparse.csr_array((np.ones(len(user)), (user, item)), shape=(users, shares.shape[0]))
    total = (owned @ shares).tocsr()
    return (sparse.diags_array(1.0 / np.maximum(total.sum(axis=1), 1e-12)) @ total).tocsr()


class Miscalibration:
    """The option of the ``metric`` group: see ``miscalibration``."""

    label: ClassVar[str] = "Miscalibration"

    def from_lists(self, inputs: MetricInputs, k: int) -> Float[np.ndarray, " users"] | None:
        return None if inputs.category_shares is None else miscalibration(inputs.lists, inputs.category_shares)
