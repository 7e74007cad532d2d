"""EASE: a linear autoencoder of who had what, in closed form (docs/methods/linear_baselines.md)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np
import scipy.linalg
import scipy.sparse as sparse
from jaxtyping import Float

from genrec.baselines.lib.item_to_item import recency_weights
from genrec.baselines.lib.ranking import tie_breaker
from genrec.baselines.lib.setting_search import OpenSettings
from genrec.core.dataset import Dataset, Sequences
from genrec.errors import ConfigError


class EASE(OpenSettings):
    """Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019.

    ``B = argmin ||X - X B||^2 + ridge ||B||^2`` with a zero diagonal; X tells which user had which item in training:
    with ``P = (X'X + ridge I)^-1`` it is ``B[i, j] = -P[i, j] / P[j, j]``. ``score(b | history) = sum over the m-th last items
    a of decay ** m * B[a, b]``.

    Departure: ``decay``; the paper's histories have no order (decay 1). A setting that is null is chosen on validation.

    Args:
        ridge: weight of the penalty, in users, > 0.
        decay: weight of an item relative to the next more recent one, in (0, 1].
        max_items: of a larger catalogue it is left out: memory grows with the square of the items (8 bytes each), time with the
            cube (4,000 items: seconds for each ridge).
    """

    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"decay": (1.0, 0.8, 0.5), "ridge": (100.0, 20.0, 500.0)}

    ridge: float
    decay: float

    def __init__(self, *, ridge: float | None = 100.0, decay: float | None = 1.0, max_items: int = 4000) -> None:
        self.settle(ridge=ridge, decay=decay)
        if not self.ridge > 0:
            raise ConfigError("ridge", expected="more than 0", got=ridge, fix="choose another")
        if not 0 < self.decay <= 1:
            raise ConfigError("decay", expected="a number in (0, 1]", got=decay, fix="choose another")
        if max_items < 1:
            raise ConfigError("max_items", expected="1 or more", got=max_items, fix="choose another")
        self.max_items = max_items

    def obstacle(self, dataset: Dataset) -> str | None:
        """Why it cannot be fitted, or None."""
        if dataset.num_items <= self.max_items:
            return None
        return f"the catalogue has {dataset.num_items:,} items, more than max_items = {self.max_items:,}"

    def fit(self, dataset: Dataset) -> None:
        train, size = dataset.train, dataset.num_items
        owned = sparse.csr_array((np.ones(len(train.item_idx)), (train.user_idx, train.item_idx)), (dataset.num_users, size))
        owned.sum_duplicates()
        owned.data[:] = 1.0
        self.common = (owned.T @ owned).toarray()
        self.tie_breaker = tie_breaker(dataset)
        self._solve()

    def with_settings(self, **settings: Any) -> Self:
        """The same baseline, fitted, by other values of open settings."""
        other = copy(self)
        for name, value in settings.items():
            setattr(other, name, value)
        if other.ridge != self.ridge:
            other._solve()
        return other

    def score(self, histories: Sequences) -> Float[np.ndarray, "users items"]:
        scores = recency_weights(histories, len(self.tie_breaker), last=np.iinfo(np.int64).max, decay=self.decay) @ self.matrix
        return np.asarray(scores + self.tie_breaker)

    def _solve(self) -> None:
        size = len(self.common)
        inverse = scipy.linalg.inv(self.common + self.ridge * np.eye(size), overwrite_a=True, check_finite=False)
        self.matrix = -inverse / np.diag(inverse)
        np.fill_diagonal(self.matrix, 0.0)
