"""Listed items that the user had before."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float

from genrec.protocols.metrics import Lists, MetricInputs
from genrec.types import PAD


def repeat_rate(lists: Lists, num_items: int) -> Float[np.ndarray, " users"]:
    r"""The share of a list that stands in the user's history; 0 for every user when seen items are excluded.

    $$\text{repeat\_rate@}k = \frac{|L^k \cap H|}{|L^k|}$$

    The repetition ratio of Li et al., "A next basket recommendation reality check", ACM TOIS 41(4), 2023, for lists. NaN for an
    empty list.

    Args:
        lists: item_idx, with histories.
        num_items: size of the catalogue.

    Examples:
        >>> from genrec.core.dataset import Sequences
        >>> repeat_rate(Lists(np.array([[0, 1]]), Sequences(np.array([1, 2]), np.array([0, 2]))), 3).tolist()
        [0.5]
    """
    user = np.arange(len(lists.items))[:, None]
    listed = np.where(lists.listed, user * num_items + lists.items, PAD)
    seen = np.isin(listed, lists.histories.user_idx * num_items + lists.histories.item_idx)
    return lists.mean(seen.astype(np.float64))


class RepeatRate:
    """The option of the ``metric`` group: see ``repeat_rate``."""

    label: ClassVar[str] = "Repeat rate"

    def from_lists(self, inputs: MetricInputs, k: int) -> Float[np.ndarray, " users"]:
        return repeat_rate(inputs.lists, inputs.dataset.num_items)
