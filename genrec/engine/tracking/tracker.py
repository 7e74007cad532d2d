"""The interface of trackers, which receive the curves and figures of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from genrec.engine.artifacts import Artifact

if TYPE_CHECKING:  # the command line answers `--help` without it
    import polars as pl

Setting = bool | int | float | str | None


@dataclass(frozen=True)
class Session:
    """One process at work on a run.

    Args:
        name: of the run.
        group: what runs of one sweep share, or None.
        key: stands for the run's configuration and data. Another key under the same name is another experiment: its curves
            are added to the earlier ones and replace nothing.
        folder: ``<run>/logs``; each tracker has a folder of its own in it.
        settings: the flat configuration: ``train.lr``, ``tokenizer``, ``tokenizer.num_levels``, ...
        log: prints a line.
    """

    name: str
    group: str | None
    key: str
    folder: Path
    settings: Mapping[str, Setting]
    log: Callable[[str], None]


class Tracker(Protocol):
    """Receives the figures of a run while it runs.

    A process that resumes a run sends all figures again from the start, so a tracker has to count repeated figures once.
    """

    def curve(self, step: int, figures: Mapping[str, float]) -> None:
        """Adds a point to the curve of each figure.

        Args:
            step: training steps done.
            figures: ``train/loss``, ``val/ndcg@10``, ``train/targets`` (seen so far), ...
        """

    def figures(self, figures: Mapping[str, float], step: int) -> None:
        """Keeps figures of the run as a whole; a later value of the same figure replaces the earlier one.

        Args:
            figures: ``test/recall@10``, ``tokenizer/collision_rate``, ...
            step: training steps behind the weights that they are about, 0 before training.
        """

    def artifact(self, artifact: Artifact, is_new: bool) -> None:
        """Notes that the run made an artifact, or (not ``is_new``) used it from the store."""

    def table(self, name: str, rows: pl.DataFrame) -> None:
        """Keeps a small table to look at."""

    def close(self, failed: bool) -> None:
        """Writes what is left."""
