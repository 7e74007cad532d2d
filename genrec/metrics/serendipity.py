"""Hits on items that an obvious recommender would not have listed."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from jaxtyping import Float
from numpy import ndarray

from genrec.metrics.lib.tables import with_ties
from genrec.protocols.metrics import MetricInputs
from genrec.types import ITEM_ID, TIE_SIZE, TIE_START, USER_ID, WEIGHT


def serendipity(table: pl.DataFrame, obvious: pl.DataFrame, targets: pl.DataFrame, k: int) -> Float[ndarray, " users"]:
    r"""The part of recall that popularity does not explain: targets listed in the first ``k`` that the popularity baseline, by
    the same rules for the same user, would not have listed in its first ``k``.

    $$\text{serendipity@}k = \frac{\sum_{t \in T} w_t\,
    \max\big(0,\ P(\text{rank}_t \le k) - P(\text{rank}^{\text{pop}}_t \le k)\big)}{\sum_{t \in T} w_t}$$

    After Ge, Delgado-Battenfeld and Jannach, "Beyond accuracy: evaluating recommender systems by coverage and serendipity",
    RecSys 2010: useful items that a primitive recommender does not give. They divide by the length of the list; here the
    divisor is that of ``recall``, so that the difference of the two is what popularity finds as well. P is 0 or 1
    but for targets in a tie group that is cut at ``k`` (see ``recall``).

    Args:
        table: recommendations of one split.
        obvious: the popularity baseline's; at least the rows of targets.
        targets: (``user_id``, ``item_id``) pairs in user order, perhaps with a ``weight``.
        k: list length.

    Returns:
        One figure a user, in the order of ``targets``; at most recall.

    Examples:
        Both targets are listed, one of them by popularity too:

        >>> targets = pl.DataFrame({"user_id": ["a", "a"], "item_id": ["x", "y"]})
        >>> table = targets.with_columns(rank=pl.Series([1, 2]))
        >>> serendipity(table, table.filter(item_id="x"), targets, 10).tolist()
        [0.5]
    """
    if WEIGHT not in targets.columns:
        targets = targets.with_columns(pl.lit(1.0).alias(WEIGHT))
    weight = pl.col(WEIGHT)
    chances = targets.with_columns(
        _chance_listed(table, targets, k).alias("listed"), _chance_listed(obvious, targets, k).alias("obvious")
    )
    surprise = (weight * (pl.col("listed") - pl.col("obvious")).clip(0)).sum() / weight.sum()
    return chances.group_by(USER_ID, maintain_order=True).agg(surprise.alias("surprise"))["surprise"].to_numpy()


def _chance_listed(table: pl.DataFrame, targets: pl.DataFrame, k: int) -> pl.Series:
    """The probability that each target is among the first ``k``."""
    chance = ((k + 1 - pl.col(TIE_START).cast(pl.Int64)) / pl.col(TIE_SIZE)).clip(0, 1)
    ranks = targets.join(with_ties(table), on=[USER_ID, ITEM_ID], how="left", maintain_order="left")
    return ranks.select(chance.fill_null(0.0)).to_series()


class Serendipity:
    """The option of the ``metric`` group: see ``serendipity``."""

    label: ClassVar[str] = "Serendipity"

    def from_lists(self, inputs: MetricInputs, k: int) -> Float[ndarray, " users"] | None:
        return None if inputs.popular is None else serendipity(inputs.table, inputs.popular, inputs.targets, k)
