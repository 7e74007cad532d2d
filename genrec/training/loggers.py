"""Where training's figures are written: nowhere, csv files, TensorBoard, or Weights & Biases (offline, without an account)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # trackers are heavy: each is imported when it is opened
    from lightning.pytorch.loggers import Logger


@dataclass(frozen=True, kw_only=True)
class NoLog:
    """Nowhere."""

    def open(self, name: str, folder: Path) -> Logger | None:
        """The Lightning logger of a run, or None."""
        return None


@dataclass(frozen=True, kw_only=True)
class CSVLog:
    """``<folder>/logs/csv/metrics.csv``."""

    def open(self, name: str, folder: Path) -> Logger | None:
        """The Lightning logger of a run."""
        from lightning.pytorch.loggers import CSVLogger

        return CSVLogger(folder / "logs", name="csv", version="")


@dataclass(frozen=True, kw_only=True)
class TensorBoardLog:
    """``<folder>/logs/tensorboard/``."""

    def open(self, name: str, folder: Path) -> Logger | None:
        """The Lightning logger of a run."""
        from lightning.pytorch.loggers import TensorBoardLogger

        return TensorBoardLogger(folder / "logs", name="tensorboard", version="")


@dataclass(frozen=True, kw_only=True)
class WandbLog:
    """``<folder>/logs/wandb/`` and, online, the project's page.

    Args:
        project: of the account.
        mode: offline runs can be uploaded later with ``wandb sync``.
    """

    project: str = "genrec"
    mode: Literal["online", "offline"] = "offline"

    def open(self, name: str, folder: Path) -> Logger | None:
        """The Lightning logger of a run."""
        from lightning.pytorch.loggers import WandbLogger

        (folder / "logs").mkdir(parents=True, exist_ok=True)
        return WandbLogger(name=name, project=self.project, offline=self.mode == "offline", save_dir=folder / "logs")
