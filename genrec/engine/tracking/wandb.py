"""Figures, settings, artifacts and a table of recommendations to Weights & Biases, online or offline."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from genrec.engine.artifacts import Artifact
from genrec.engine.tracking.tracker import STEPS, Session

STEP = "train/step"  # the x axis of every curve
IDS_FILE = "ids.json"


@dataclass(frozen=True, kw_only=True)
class WandbLog:
    """Under ``<run>/logs/wandb/`` and, online, on the project's page.

    Offline takes neither an account nor a network; ``wandb sync`` uploads it later. Where going online fails, the run goes on
    offline. Whatever else W&B reads from the environment holds too (``WANDB_ENTITY``, ``WANDB_TAGS``, ...).

    Args:
        project: of the account.
        mode: "online" or "offline".
        upload_bytes: files of artifacts up to this size are uploaded with them; larger ones stay where they are and W&B gets
            their address. 0 uploads none, for data that must not leave the house (the table of sampled users aside).
    """

    project: str = "genrec"
    mode: Literal["online", "offline"] = "offline"
    upload_bytes: int = 1_000_000

    def open(self, session: Session) -> WandbTracker:
        """Returns the tracker of a run."""
        if self.mode == "online":
            try:
                return WandbTracker(session, self, "online")
            except Exception as error:  # no network, no account, no such project: the figures are not worth less for it
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                session.log(f"WARNING: W&B cannot be reached ({reason}); going on with logger.mode=offline")
        return WandbTracker(session, self, "offline")


class WandbTracker:
    """One W&B run per run name and configuration: a process that goes on with a run goes on with its W&B run.

    W&B keeps of an offline run only what was synced last, so each process sends everything (see ``Tracker``); online, where
    the server remembers, curves go on behind the last point it has.
    """

    def __init__(self, session: Session, destination: WandbLog, mode: Literal["online", "offline"]) -> None:
        import wandb

        folder = session.folder / "wandb"
        folder.mkdir(parents=True, exist_ok=True)
        self._ids = _Ids(folder / IDS_FILE, session.key)
        self._log = session.log
        self._run = wandb.init(
            project=destination.project,
            mode=mode,
            dir=session.folder,
            id=os.environ.get("WANDB_RUN_ID") or self._ids.run,  # a sweep's agent has chosen one
            resume="allow",
            name=session.name,
            group=session.group,
            config=dict(session.settings),
            allow_val_change=True,
            reinit="create_new",  # a run that the caller has open stays open
            settings=wandb.Settings(silent=True, console="off"),
        )
        for curves in ("train/*", "val/*", f"{STEPS}*"):
            self._run.define_metric(curves, step_metric=STEP)
        self._offline, self._upload_bytes = mode == "offline", destination.upload_bytes
        last = int(self._run.summary.get(STEP, -1)) if self._run.resumed else -1
        self._last = dict.fromkeys((True, False), last)  # step of the last point: of the log of steps, of the rounds

    def curve(self, step: int, figures: Mapping[str, float]) -> None:
        of_steps = all(key.startswith(STEPS) for key in figures)
        if step > self._last[of_steps]:
            self._run.log({STEP: step, **figures})
            self._last[of_steps] = step

    def figures(self, figures: Mapping[str, float], step: int) -> None:
        self._run.summary.update(dict(figures))

    def artifact(self, artifact: Artifact, is_new: bool) -> None:
        """Named by kind and fingerprint, so that runs which share an artifact share it on W&B too."""
        entry = wandb_artifact(artifact, upload_bytes=self._upload_bytes)
        if is_new or artifact.fingerprint in self._ids.fingerprints:
            self._ids.add(artifact.fingerprint)
            self._run.log_artifact(entry)
        elif self._offline:  # where W&B refuses use_artifact; the metadata name the inputs
            self._run.log_artifact(entry)
        else:
            self._run.use_artifact(entry)

    def table(self, name: str, rows: pl.DataFrame) -> None:
        import wandb

        if self._run.summary.get(name) is None:  # a resumed run has it
            self._run.log({name: wandb.Table(columns=[*rows.columns], data=[list(row) for row in rows.iter_rows()])})

    def close(self, failed: bool) -> None:
        folder = Path(self._run.dir).parent
        self._run.finish(exit_code=int(failed))
        if self._offline:
            self._log(f"W&B, offline: upload it with `wandb sync {folder}`")


def wandb_artifact(artifact: Artifact, *, upload_bytes: int) -> Any:
    """Makes the ``wandb.Artifact`` of an artifact, without sending it."""
    import wandb

    entry = wandb.Artifact(
        f"{artifact.kind}-{artifact.fingerprint}",
        type=artifact.kind,
        metadata={key: artifact.manifest[key] for key in ("fingerprint", "inputs", "config", "facts", "genrec")},
    )
    for name, file in artifact.manifest["files"].items():
        path = artifact.path.resolve() / name
        if file["bytes"] <= upload_bytes:
            entry.add_file(str(path), name=name)
        else:  # no checksum: the fingerprint in the path identifies the content
            entry.add_reference(path.as_uri(), name=name, checksum=False)
    return entry


class _Ids:
    """The W&B run of each configuration of a run, and what it made, remembered between processes."""

    def __init__(self, file: Path, key: str) -> None:
        self._file, self._key = file, key
        stored = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self._all: dict[str, dict[str, Any]] = {key: {"run": uuid.uuid4().hex[:12], "made": []}, **stored}
        self._save()

    @property
    def run(self) -> str:
        return str(self._all[self._key]["run"])

    @property
    def fingerprints(self) -> list[str]:
        """Fingerprints of the artifacts that the run made."""
        return list(self._all[self._key]["made"])

    def add(self, fingerprint: str) -> None:
        self._all[self._key]["made"] = sorted({*self.fingerprints, fingerprint})
        self._save()

    def _save(self) -> None:
        self._file.write_text(json.dumps(self._all, indent=2), encoding="utf-8")
