"""Figures as TensorBoard events: look with ``tensorboard --logdir runs``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrec.engine.artifacts import Artifact
from genrec.engine.tracking.tracker import Session
from genrec.errors import ConfigError

CURVES, FINAL = "curves", "final"


@dataclass(frozen=True, kw_only=True)
class TensorBoardLog:
    """Two TensorBoard runs under ``<run>/logs/tensorboard/<configuration>/``.

    ``curves`` is training; ``final`` holds each figure of the whole run once, at the step of the weights that were kept, so
    that ``val/ndcg@10`` of all users is a dot on the chart of the curve. Settings and figures are in the HParams tab.
    """

    def open(self, session: Session) -> TensorBoardTracker:
        """The tracker of a run.

        Raises:
            ConfigError: when the package tensorboard is not installed.
        """
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError:
            fix = "pip install tensorboard, or choose logger=csv"
            raise ConfigError("logger", expected="the package tensorboard", got="no such package", fix=fix) from None
        return TensorBoardTracker(session)


class TensorBoardTracker:
    """Writes each point once: it reads existing points first, and writes final figures at the end."""

    def __init__(self, session: Session) -> None:
        self._folder, self._settings = session.folder / "tensorboard" / session.key, session.settings
        self._written = {part: _points(self._folder / part) for part in (CURVES, FINAL)}
        self._writers: dict[str, Any] = {}
        self._final: dict[str, tuple[float, int]] = {}  # figure -> value, step

    def curve(self, step: int, figures: Mapping[str, float]) -> None:
        for key, value in figures.items():
            self._add(CURVES, key, value, step)
        if CURVES in self._writers:
            self._writers[CURVES].flush()

    def figures(self, figures: Mapping[str, float], step: int) -> None:
        self._final |= {key: (value, step) for key, value in figures.items()}

    def artifact(self, artifact: Artifact, is_new: bool) -> None:
        """Writes nothing, since TensorBoard has no artifacts."""

    def table(self, name: str, rows: pl.DataFrame) -> None:
        if (f"{name}/text_summary", 0) not in self._written[FINAL]:  # the tag that add_text makes of the name
            lines = [rows.columns, ["---"] * rows.width, *rows.iter_rows()]
            cells = (["" if cell is None else str(cell).replace("|", "\\|") for cell in line] for line in lines)
            self._writer(FINAL).add_text(name, "\n".join(f"| {' | '.join(row)} |" for row in cells), 0)

    def close(self, failed: bool) -> None:
        for key, (value, step) in self._final.items():
            self._add(FINAL, key, value, step)
        if FINAL in self._writers:
            self._add_settings()
        for writer in self._writers.values():
            writer.close()

    def _add(self, part: str, key: str, value: float, step: int) -> None:
        stored = np.float32(value)  # what events hold
        if self._written[part].get((key, step)) != stored:
            self._writer(part).add_scalar(key, value, step)
            self._written[part][key, step] = stored

    def _add_settings(self) -> None:
        from torch.utils.tensorboard.summary import hparams

        measured = {key: value for key, (value, _) in self._final.items() if key.startswith(("val/", "test/"))}
        for summary in hparams(dict(self._settings), measured):
            self._writer(FINAL).file_writer.add_summary(summary)

    def _writer(self, part: str) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        if part not in self._writers:
            self._writers[part] = SummaryWriter(str(self._folder / part))
        return self._writers[part]


def _points(folder: Path) -> dict[tuple[str, int], np.float32]:
    """Returns (figure, step) -> value of the existing event files; a text has no value."""
    if not folder.exists():
        return {}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    tags = events.Tags()
    texts = {(tag, event.step): np.float32("nan") for tag in tags["tensors"] for event in events.Tensors(tag)}
    return texts | {(tag, event.step): np.float32(event.value) for tag in tags["scalars"] for event in events.Scalars(tag)}
