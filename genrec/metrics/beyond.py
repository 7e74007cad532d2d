"""All figures beyond accuracy at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import scipy.sparse as sparse
from jaxtyping import Float, Int

from genrec.dataset import Dataset
from genrec.metrics.categories import category_shares
from genrec.metrics.diversity import diversity, prefix_diversity
from genrec.metrics.exposure import coverage, gini
from genrec.metrics.lists import Lists, first_items
from genrec.metrics.miscalibration import miscalibration
from genrec.metrics.popularity import novelty, popularity_lift
from genrec.metrics.repeats import repeat_rate
from genrec.metrics.serendipity import serendipity
from genrec.types import USER_ID, Split


@dataclass(frozen=True)
class ItemFacts:
    """What is known of items, besides how often they occur; what is None leaves its figures out.

    Args:
        category: column of the catalogue, for miscalibration.
        vectors: [items, dim] of the encoder, for diversity.
        codes: [items, levels] semantic, for prefix diversity.
    """

    dataset: Dataset
    category: str | None = None
    vectors: Float[np.ndarray, "items dim"] | None = None
    codes: Int[np.ndarray, "items levels"] | None = None

    @cached_property
    def shares(self) -> sparse.csr_array | None:
        """Of the categories; None where no label tells items apart."""
        shares = category_shares(self.dataset.items[self.category]) if self.category else None
        return shares if shares is not None and shares.nnz else None


def beyond_accuracy(
    table: pl.DataFrame, obvious: pl.DataFrame | None, targets: pl.DataFrame, facts: ItemFacts, split: Split, k: int
) -> tuple[pl.DataFrame, dict[str, float]]:
    """The figures of the first ``k`` items of all lists.

    Args:
        table: recommendations of one split; at least ranks up to ``k`` and the rows of targets.
        obvious: the popularity floor's, for serendipity, or None.
        targets: (``user_id``, ``item_id``) pairs in user order.
        facts: of the items.
        split: whose histories.
        k: length.

    Returns:
        Figures of each user (null where one is not defined, for an empty list say; left out where it is for nobody) with
        ``user_id``, and figures of all lists together, both as ``name@k``.
    """
    dataset = facts.dataset
    users = targets[USER_ID].unique(maintain_order=True)
    lists = first_items(table, dataset, split, users, k)
    per_user = {"novelty": novelty(lists, dataset.train_counts), "repeat_rate": repeat_rate(lists, dataset.num_items)}
    if facts.vectors is not None:
        per_user["diversity"] = diversity(lists, facts.vectors)
    if facts.codes is not None:
        per_user["prefix_diversity"] = prefix_diversity(lists, facts.codes)
    if obvious is not None:
        per_user["serendipity"] = serendipity(table, obvious, targets, k)
    if facts.shares is not None:
        per_user["miscalibration"] = miscalibration(lists, facts.shares)
    columns = {USER_ID: users} | {f"{name}@{k}": values for name, values in per_user.items()}
    known = pl.DataFrame(columns).fill_nan(None)
    known = known.select(column for column in known if column.null_count() < known.height)
    return known, {f"{name}@{k}": value for name, value in _of_all(lists, dataset).items()}


def _of_all(lists: Lists, dataset: Dataset) -> dict[str, float]:
    return {
        "coverage": coverage(lists, dataset.num_items),
        "gini": gini(lists, dataset.num_items),
        "popularity_lift": popularity_lift(lists, dataset.train_counts),
    }
