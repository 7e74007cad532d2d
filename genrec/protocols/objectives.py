"""Objectives, from which a generator learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from jaxtyping import Int64
from torch import Tensor

from genrec.core.batch import Batch
from genrec.core.dataset import Dataset
from genrec.protocols.generators import Generator


@dataclass(frozen=True)
class LossTerms:
    """The loss to minimize and its parts for the log (detached), all means per target."""

    total: Tensor
    parts: Mapping[str, Tensor]


@runtime_checkable
class Sampler(Protocol):
    """Samples recommendations of a generator during training, for objectives that learn from them."""

    def best(self, generator: Any, batch: Batch, k: int) -> Int64[Tensor, "batch k"]:
        """The ``k`` most probable items that a beam search finds, best first; ``PAD`` where there are fewer."""
        ...

    def drawn(self, generator: Any, batch: Batch, k: int) -> Int64[Tensor, "batch k"]:
        """``k`` distinct items drawn from its distribution, in the order of the draw; others at every step."""
        ...


@runtime_checkable
class Objective(Protocol):
    def check(self, generator: Generator) -> None:
        """Raises ConfigError when the two do not fit; called before anything is trained."""
        ...

    def loss(self, generator: Any, batch: Batch, sampler: Sampler | None = None) -> LossTerms:
        """The loss of a batch; ``sampler`` is there in training, for generators that write codes."""
        ...


@runtime_checkable
class WeighsTargets(Objective, Protocol):
    """Reads ``Batch.target_weights`` if ``weighs_targets`` is True; others take all targets alike and refuse weights."""

    weighs_targets: ClassVar[bool]


@runtime_checkable
class SharesBatches(Objective, Protocol):
    """Processes may share the rows of a batch if ``shares_batches`` is True: the loss is a mean over targets (weighted, with
    weights), and what a row adds to it does not depend on the other rows. Others are refused by more than one process.
    """

    @property
    def shares_batches(self) -> bool: ...


@runtime_checkable
class FittedObjective(Objective, Protocol):
    """Has something to fit before training begins, such as scorers whose opinion is a reward."""

    def fit(self, dataset: Dataset) -> None:
        """Called once before training, also when it resumes; reads the training part only."""
        ...


@runtime_checkable
class FineTuningObjective(Objective, Protocol):
    """Goes on from a trained generator. Torch modules among its attributes move, and are kept in checkpoints, if it is one."""

    def start(self, generator: Any) -> None:
        """Called with the weights that training starts from, also when it resumes."""
        ...


@runtime_checkable
class ScheduledObjective(Objective, Protocol):
    """Asks more of a generator as training goes on; ``progress`` in [0, 1] is set before every step."""

    progress: float
