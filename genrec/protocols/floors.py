"""What every model is held against: recommenders without training loops."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from genrec.dataset import Dataset, Sequences


class Floor(Protocol):
    """A recommender without training loops, fitted on the training part only."""

    def fit(self, dataset: Dataset) -> None: ...

    def score(self, histories: Sequences) -> Float[np.ndarray, "users items"]:
        """Scores of all items for each history (whole histories, oldest first); higher is better."""
        ...


@runtime_checkable
class KeptFloor(Floor, Protocol):
    """A floor whose fitted state can be kept, and whose scores are >= 0: what a fusion takes as a member.

    A class attribute ``needs`` may name artifact kinds besides the dataset: {"encoder"} supplies ``item_vectors``.
    """

    def save(self, folder: Path) -> None: ...
    def restore(self, folder: Path) -> None: ...

    def with_items(self, num_items: int) -> KeptFloor:
        """The same floor for a catalogue with later items behind, of which it knows nothing; this one stays as it is."""
        ...
