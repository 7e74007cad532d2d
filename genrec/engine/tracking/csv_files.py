"""Figures as csv files, for any program: one file of curves, one of final figures, one of settings."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from genrec.engine.artifacts import Artifact
from genrec.engine.tracking.tracker import STEPS, Session

CONFIG = "config"  # first column of every file: the session's key


@dataclass(frozen=True, kw_only=True)
class CSVLog:
    """Files under ``<run>/logs/csv/``.

    - ``metrics.csv``: config, step, a column per curve;
    - ``steps.csv``: the same of the log of steps;
    - ``final.csv``: config, figure, value;
    - ``settings.csv``: config, setting, value;
    - ``recommendations.csv``: a sample of users.

    ``config`` distinguishes the configurations that used one run's name.
    """

    def open(self, session: Session) -> CSVTracker:
        """Returns the tracker of a run."""
        return CSVTracker(session)


class CSVTracker:
    """Replaces a small file at every call in one step, so that each file is complete at any time."""

    def __init__(self, session: Session) -> None:
        self._folder, self._key = session.folder / "csv", session.key
        self._folder.mkdir(parents=True, exist_ok=True)
        self._put("settings", ("setting",), [{"setting": k, "value": v} for k, v in session.settings.items()])

    def curve(self, step: int, figures: Mapping[str, float]) -> None:
        name = "steps" if all(key.startswith(STEPS) for key in figures) else "metrics"
        self._put(name, ("step",), [{"step": step, **figures}])

    def figures(self, figures: Mapping[str, float], step: int) -> None:
        self._put("final", ("figure",), [{"figure": key, "value": value} for key, value in figures.items()])

    def artifact(self, artifact: Artifact, is_new: bool) -> None:
        """Writes nothing, since run.json and the manifests record the artifacts."""

    def table(self, name: str, rows: pl.DataFrame) -> None:
        self._put(name, (rows.columns[0],), rows.iter_rows(named=True))

    def close(self, failed: bool) -> None:
        """Writes nothing, since every call wrote its rows."""

    def _put(self, name: str, keys: tuple[str, ...], rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds rows; a row replaces an earlier one with the same config and keys."""
        file = self._folder / f"{name}.csv"
        table = {tuple(row[key] for key in (CONFIG, *keys)): row for row in _read(file)}
        for values in rows:
            row = {CONFIG: self._key, **values}
            table[tuple(str(row[key]) for key in (CONFIG, *keys))] = row
        columns = dict.fromkeys(column for row in table.values() for column in row)
        draft = file.with_name(f"{file.name}.{os.getpid()}")
        with draft.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns, restval="")
            writer.writeheader()
            writer.writerows(table.values())
        os.replace(draft, file)


def _read(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
