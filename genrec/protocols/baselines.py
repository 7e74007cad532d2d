"""What every model is held against: recommenders without training loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Float

from genrec.core.dataset import Dataset, Sequences

if TYPE_CHECKING:
    import scipy.sparse as sparse  # opening a bundle imports this file, and needs no scipy


@runtime_checkable
class Baseline(Protocol):
    """A recommender without training loops, fitted on the training part only."""

    def fit(self, dataset: Dataset) -> None: ...

    def score(self, histories: Sequences) -> Float[np.ndarray, "users items"]:
        """Scores of all items for each history (whole histories, oldest first); higher is better."""
        ...


@runtime_checkable
class SearchesTexts(Baseline, Protocol):
    """A baseline that answers requests in words: left out where lists do not ask for a text."""

    def search(self, texts: Sequence[str]) -> Float[np.ndarray, "texts items"]:
        """Scores of all items for each text, "" of a user who asks for nothing; higher is better."""
        ...


@runtime_checkable
class SavableBaseline(Baseline, Protocol):
    """A baseline whose fitted state can be kept, and whose scores are >= 0: what a fusion takes as a member.

    A class attribute ``needs`` may name artifact kinds besides the dataset: {"encoder"} supplies ``item_vectors``.
    """

    def save(self, folder: Path) -> None: ...
    def restore(self, folder: Path) -> None: ...

    def with_items(self, num_items: int) -> SavableBaseline:
        """The same baseline for a catalogue with later items behind, of which it knows nothing; this one stays as it is."""
        ...


@runtime_checkable
class HasObstacle(Protocol):
    """A baseline that not every data set can have: where there is an obstacle it is left out, and metrics.json says why."""

    def obstacle(self, dataset: Dataset) -> str | None:
        """Returns why it cannot be fitted, or None."""
        ...


@runtime_checkable
class SparseScores(Protocol):
    """A baseline that scores few items of a history: its settings are chosen without a dense table of all items."""

    tie_breaker: Float[np.ndarray, " items"]  # what ``score`` adds to every item

    def sparse_scores(self, histories: Sequences) -> sparse.csr_array:
        """Returns the scores [users, items] without the tie breaker, >= 0."""
        ...


@runtime_checkable
class HasOpenSettings(Protocol):
    """A baseline with settings that may be null: those are chosen on validation, each from its grid."""

    grid: ClassVar[Mapping[str, tuple[Any, ...]]]
    open_settings: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """What stands for each setting that has a grid."""
        ...

    def adopt(self, settings: Mapping[str, Any]) -> None:
        """Sets what was chosen elsewhere and read back."""
        ...


@runtime_checkable
class Resettable(Protocol):
    """A fitted baseline that takes other settings without counting the data again: choosing settings is faster then."""

    def with_settings(self, **settings: Any) -> Self:
        """Returns the same baseline, fitted, by other values of open settings; this one stays as it is."""
        ...


@runtime_checkable
class NeedsArtifacts(Protocol):
    """A baseline in a fusion that reads more than the dataset."""

    needs: ClassVar[frozenset[str]]  # artifact kinds: {"encoder"} supplies ``item_vectors``
