"""How evenly the slots of all lists are spread over the catalogue: coverage and Gini coefficient."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from genrec.protocols.metrics import Lists, MetricInputs


def coverage(lists: Lists, num_items: int) -> float:
    r"""The share of the catalogue that stands in at least one list (catalogue coverage).

    $$\text{coverage@}k = \frac{|\bigcup_u L_u^k|}{|I|}$$

    Ge, Delgado-Battenfeld and Jannach, "Beyond accuracy: evaluating recommender systems by coverage and serendipity",
    RecSys 2010. It grows with the number of users: compare it between lists of the same users only.

    Args:
        lists: item_idx of ``num_items`` items.
        num_items: size of the catalogue.

    Examples:
        Two users, four items of which two are shown:

        >>> from genrec.core.dataset import Sequences
        >>> nobody = Sequences(np.zeros(0, np.int32), np.zeros(3, np.int64))
        >>> coverage(Lists(np.array([[0, 1], [0, -1]]), nobody), 4)
        0.5
    """
    return len(np.unique(lists.exposure)) / num_items


def gini(lists: Lists, num_items: int) -> float:
    r"""The Gini coefficient of exposure: 0 when every item of the catalogue is listed equally often, near 1 when few items take
    all places.

    $$\text{gini@}k = \frac{\sum_{i=1}^{n} (2i - n - 1)\, x_{(i)}}{n \sum_i x_i}, \qquad x_{(1)} \le \dots \le x_{(n)}$$

    where x counts the lists that hold an item, over all n items of the catalogue, listed or not. Gini, "Variabilità e
    mutabilità", 1912; of recommendations: Fleder and Hosanagar, "Blockbuster culture's next rise or fall", Management
    Science 55(5), 2009. 0 without any list.

    Args:
        lists: item_idx of ``num_items`` items.
        num_items: size of the catalogue.

    Examples:
        One of two items takes three places of four; then all of them:

        >>> from genrec.core.dataset import Sequences
        >>> nobody = Sequences(np.zeros(0, np.int32), np.zeros(3, np.int64))
        >>> gini(Lists(np.array([[0, 1], [0, -1], [0, -1]]), nobody), 2), gini(Lists(np.array([[0], [0]]), nobody), 2)
        (0.25, 0.5)
    """
    counts = np.sort(np.bincount(lists.exposure, minlength=num_items))
    order = 2 * np.arange(1, num_items + 1) - num_items - 1
    return float((order * counts).sum() / (num_items * max(counts.sum(), 1)))


class Coverage:
    """The option of the ``metric`` group: see ``coverage``."""

    label: ClassVar[str] = "Coverage"

    def from_lists(self, inputs: MetricInputs, k: int) -> float:
        return coverage(inputs.lists, inputs.dataset.num_items)


class Gini:
    """The option of the ``metric`` group: see ``gini``."""

    label: ClassVar[str] = "Gini"

    def from_lists(self, inputs: MetricInputs, k: int) -> float:
        return gini(inputs.lists, inputs.dataset.num_items)
