"""How popular the listed items are: novelty, and lift over the history."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int64

from genrec.protocols.metrics import Lists, MetricInputs


def novelty(lists: Lists, train_counts: Int64[np.ndarray, " items"]) -> Float[np.ndarray, " users"]:
    r"""Mean self-information of a user's list, in bits: how surprised one would be to see its items in a random training event.

    $$\text{novelty@}k = \frac{1}{|L^k|} \sum_{i \in L^k} -\log_2 \frac{\max(n_i, 1)}{\sum_j n_j}$$

    Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS 107(10), 2010, with the share of
    training events instead of users. An item without training events counts as if it had one. NaN for an empty list.

    Args:
        lists: item_idx.
        train_counts: n, training events of each item.

    Examples:
        An item with half of the events (1 bit), and one with a quarter (2 bits):

        >>> from genrec.core.dataset import Sequences
        >>> lists = Lists(np.array([[0, 1]]), Sequences(np.zeros(0, np.int32), np.zeros(2, np.int64)))
        >>> novelty(lists, np.array([4, 2, 1, 1])).tolist()
        [1.5]
    """
    information = np.log2(max(train_counts.sum(), 1)) - np.log2(np.maximum(train_counts, 1))
    return lists.mean(information[lists.items])


def popularity_lift(lists: Lists, train_counts: Int64[np.ndarray, " items"]) -> float:
    r"""How much more popular the listed items are than those of the users' own histories: 0 for equally popular, 1 for twice.

    $$\text{popularity\_lift@}k = \frac{G(L) - G(H)}{G(H)}, \qquad
    G(S) = \frac{1}{|U|} \sum_u \frac{1}{|S_u|} \sum_{i \in S_u} n_i$$

    Abdollahpouri, Mansoury, Burke and Mobasher, "The connection between popularity bias, calibration, and fairness in
    recommendation", RecSys 2020, for all users as one group. Over users with a list and a history; 0 when there are none, or
    when their histories hold nothing of the training part.

    Args:
        lists: item_idx, with histories.
        train_counts: n, training events of each item.

    Examples:
        A history of an item with 2 events, a list of one with 3:

        >>> from genrec.core.dataset import Sequences
        >>> popularity_lift(Lists(np.array([[1]]), Sequences(np.array([0]), np.array([0, 1]))), np.array([2, 3]))
        0.5
    """
    lengths = lists.histories.lengths
    totals = np.bincount(lists.histories.user_idx, weights=train_counts[lists.histories.item_idx], minlength=len(lengths))
    both = (lengths > 0) & (lists.lengths > 0)
    before = (totals[both] / lengths[both]).sum()
    after = lists.mean(train_counts[lists.items].astype(np.float64))[both].sum()
    return float(after / before - 1) if before > 0 else 0.0


class Novelty:
    """The option of the ``metric`` group: see ``novelty``."""

    label: ClassVar[str] = "Novelty"

    def from_lists(self, inputs: MetricInputs, k: int) -> Float[np.ndarray, " users"]:
        return novelty(inputs.lists, inputs.dataset.train_counts)


class PopularityLift:
    """The option of the ``metric`` group: see ``popularity_lift``."""

    label: ClassVar[str] = "Popularity lift"

    def from_lists(self, inputs: MetricInputs, k: int) -> float:
        return popularity_lift(inputs.lists, inputs.dataset.train_counts)
