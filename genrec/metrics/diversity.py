"""How different the items of one list are from each other: by their vectors, and by their semantic IDs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from genrec.protocols.metrics import Lists, MetricInputs

ROWS_AT_ONCE = 256  # users; what is gathered for them stays in the cache


def diversity(lists: Lists, vectors: Float[np.ndarray, "items dim"]) -> Float[np.ndarray, " users"]:
    r"""Intra-list diversity: 1 minus the mean cosine of all pairs of a list.

    $$\text{diversity@}k = 1 - \frac{2}{n (n - 1)} \sum_{i < j \in L^k} \cos(v_i, v_j), \qquad n = |L^k|$$

    Smyth and McClave, "Similarity vs. diversity", ICCBR 2001; Ziegler et al., "Improving recommendation lists through topic
    diversification", WWW 2005. In [0, 2]; a vector of zeros is like nothing. NaN for lists of fewer than two items.

    The sum over pairs comes from the length of the sum: it takes n steps, not n squared.

    Args:
        lists: item_idx.
        vectors: the encoder's, row number == item_idx.

    Examples:
        Two items of one direction and one at a right angle to both: one pair in three is alike.

        >>> from genrec.core.dataset import Sequences
        >>> lists = Lists(np.array([[0, 1, 2]]), Sequences(np.zeros(0, np.int32), np.zeros(2, np.int64)))
        >>> diversity(lists, np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])).round(4).tolist()
        [0.6667]
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros(vectors.shape), where=norms > 0)
    unit = np.vstack([unit, np.zeros(unit.shape[1])])  # the last row is that of PAD
    self_pairs = np.append(norms[:, 0] > 0, False)[lists.items].sum(axis=1)  # pairs of an item with itself
    total = np.empty((len(lists.items), unit.shape[1]))
    for start in range(0, len(total), ROWS_AT_ONCE):
        np.sum(unit[lists.items[start : start + ROWS_AT_ONCE]], axis=1, out=total[start : start + ROWS_AT_ONCE])
    return 1.0 - _per_pair((np.einsum("ud,ud->u", total, total) - self_pairs) / 2, lists)


def prefix_diversity(lists: Lists, codes: Int[np.ndarray, "items levels"]) -> Float[np.ndarray, " users"]:
    r"""Intra-list diversity of semantic IDs: 1 minus the mean share of levels that two items of a list have in common from the
    first level on.

    $$\text{prefix\_diversity@}k = 1 - \frac{2}{n (n - 1)} \sum_{i < j \in L^k}
    \frac{\text{common prefix}(c_i, c_j)}{\text{levels}}$$

    The formula of ``diversity`` with another likeness: 1 when no two items start with the same code. NaN for lists of fewer
    than two items.

    Args:
        lists: item_idx.
        codes: of each item, without a level that only keeps colliding items apart.

    Examples:
        The first two share one level of two, the third nothing:

        >>> from genrec.core.dataset import Sequences
        >>> lists = Lists(np.array([[0, 1, 2]]), Sequences(np.zeros(0, np.int32), np.zeros(2, np.int64)))
        >>> prefix_diversity(lists, np.array([[5, 1], [5, 2], [6, 1]])).round(4).tolist()
        [0.8333]
    """
    pairs, width = np.zeros(len(lists.items)), lists.items.shape[1]
    for first in range(width):
        for second in range(first + 1, width):
            common = lists.listed[:, first] & lists.listed[:, second]
            for level in codes.T:
                common = common & (level[lists.items[:, first]] == level[lists.items[:, second]])
                pairs += common
    return 1.0 - _per_pair(pairs / codes.shape[1], lists)


def _per_pair(sums: Float[np.ndarray, " users"], lists: Lists) -> Float[np.ndarray, " users"]:
    length = lists.lengths
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(length > 1, sums / (length * (length - 1) / 2), np.nan)


class Diversity:
    """The option of the ``metric`` group: see ``diversity``."""

    label: ClassVar[str] = "Diversity"

    def from_lists(self, inputs: MetricInputs, k: int) -> Float[np.ndarray, " users"] | None:
        return None if inputs.vectors is None else diversity(inputs.lists, inputs.vectors)


class PrefixDiversity:
    """The option of the ``metric`` group: see ``prefix_diversity``."""

    label: ClassVar[str] = "Prefix diversity"

    def from_lists(self, inputs: MetricInputs, k: int) -> Float[np.ndarray, " users"] | None:
        return None if inputs.codes is None else prefix_diversity(inputs.lists, inputs.codes)
