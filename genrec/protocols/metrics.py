"""Metrics of recommendation lists and the inputs that they get, and loggers, which record the figures of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int, Int64

from genrec.core.dataset import Dataset, Sequences
from genrec.types import PAD

if TYPE_CHECKING:
    import scipy.sparse as sparse


@dataclass(frozen=True)
class Hits:
    """The targets that were listed. A group of equally good items is counted by expected rank: the target is equally likely
    at each of the ranks ``tie_start .. tie_start + tie_size - 1``, and metrics average over them.

    Args:
        user_ids: [users], every user with at least one target; users without a target are not counted anywhere.
        num_targets: [users], different target items, at least 1; also of users whose list is missing (they score 0).
        user: [hits], row of the user in ``user_ids``, ascending.
        tie_start: [hits], 1-based rank at which the target's group of equal items starts; ascending within a user.
        tie_size: [hits], number of items in that group; 1 without ties.
        weight: [hits], what each is worth, > 0; None: all the same. Only recall and ndcg look at weights.
        target_weights: [targets] of all targets, listed or not, users in the order of ``user_ids``, each user's largest first;
            None with ``weight``.
    """

    user_ids: pl.Series
    num_targets: Int64[np.ndarray, " users"]
    user: Int64[np.ndarray, " hits"]
    tie_start: Int64[np.ndarray, " hits"]
    tie_size: Int64[np.ndarray, " hits"]
    weight: Float[np.ndarray, " hits"] | None = None
    target_weights: Float[np.ndarray, " targets"] | None = None

    @property
    def num_users(self) -> int:
        return len(self.num_targets)

    def per_user(self, gains: Float[np.ndarray, " hits"]) -> Float[np.ndarray, " users"]:
        """Sums a figure of the hits over each user."""
        return np.bincount(self.user, weights=gains, minlength=self.num_users)

    @property
    def total_weight(self) -> Float[np.ndarray, " users"]:
        """What all targets of each user are worth together; their number without weights."""
        if self.target_weights is None:
            return self.num_targets.astype(np.float64)
        return np.add.reduceat(self.target_weights, self.first_target)

    @property
    def first_target(self) -> Int64[np.ndarray, " users"]:
        """Where each user's part of ``target_weights`` starts."""
        return np.cumsum(self.num_targets) - self.num_targets

    def listed_until(self, k: int) -> Float[np.ndarray, " hits"]:
        """Returns the probability that each of them is among the first ``k``."""
        return np.clip((k - self.tie_start + 1) / self.tie_size, 0.0, 1.0)

    def weighted(self, gains: Float[np.ndarray, " hits"]) -> Float[np.ndarray, " hits"]:
        """Returns a figure of the hits times their weights."""
        return gains if self.weight is None else gains * self.weight


@dataclass(frozen=True)
class Lists:
    """Lists of some users, and what those users had before.

    Equal scores play no part here: a list is shown in the order of its ranks.

    Args:
        items: item_idx [users, k], best first; ``PAD`` after the end of a list and for items outside the catalogue.
        histories: of the same users, in the same order.
    """

    items: Int64[np.ndarray, "users k"]
    histories: Sequences

    @property
    def listed(self) -> Bool[np.ndarray, "users k"]:
        """Marks the entries that are items."""
        return self.items != PAD

    @property
    def lengths(self) -> Int64[np.ndarray, " users"]:
        """How many items each list holds."""
        return self.listed.sum(axis=1)

    @property
    def exposure(self) -> Int64[np.ndarray, " listed"]:
        """All listed items of all users, one after the other."""
        return self.items[self.listed]

    def mean(self, values: Float[np.ndarray, "users k"]) -> Float[np.ndarray, " users"]:
        """Mean of a figure over the items of each list; NaN for an empty list."""
        with np.errstate(invalid="ignore"):
            return np.where(self.listed, values, 0.0).sum(axis=1) / self.lengths


@dataclass(frozen=True)
class MetricInputs:
    """What a metric of whole lists may look at. What is None is not known in this evaluation.

    Args:
        lists: the first items of each list, and what the users had before.
        table: the recommendations that the lists are made of.
        targets: (``user_id``, ``item_id``) pairs in user order, perhaps with a ``weight``.
        dataset: for the catalogue and the training counts.
        vectors: [items, dim] of the encoder.
        codes: [items, levels], the semantic part of the IDs.
        category_shares: [items, categories], rows that add up to 1.
        popular: recommendations of the popularity baseline, at least the rows of targets.
    """

    lists: Lists
    table: pl.DataFrame
    targets: pl.DataFrame
    dataset: Dataset
    vectors: Float[np.ndarray, "items dim"] | None = None
    codes: Int[np.ndarray, "items levels"] | None = None
    category_shares: sparse.csr_array | None = None
    popular: pl.DataFrame | None = None


@runtime_checkable
class HitMetric(Protocol):
    """A metric of the ranks of the targets. It is counted at every k of ``evaluate.ks``, of the exact bounds too."""

    label: ClassVar[str]  # the name on pages

    def from_hits(self, hits: Hits, k: int) -> Float[np.ndarray, " users"]:
        """Returns a figure for each user: 0 without a hit among the first ``k``."""
        ...


@runtime_checkable
class ListMetric(Protocol):
    """A metric of the items in the lists, whether they are targets or not. It is counted at the headline k."""

    label: ClassVar[str]  # the name on pages

    def from_lists(self, inputs: MetricInputs, k: int) -> Float[np.ndarray, " users"] | float | None:
        """Returns a figure for each user (NaN where it is not defined), or one of all lists together; None: not known here."""
        ...


@runtime_checkable
class Logger(Protocol):
    """An option of the ``logger`` group."""

    def open(self, session: Any) -> Any:
        """Returns the ``Tracker`` of one process at work on a run (a ``Session``): see ``genrec.engine.tracking.tracker``."""
        ...
