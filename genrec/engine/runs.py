"""A run: a named folder with links into the store, the configuration that made it, and the artifacts that it needs.

A run can extend another (``extends=runs/x``): it uses the fitted encoder, tokenizer, IDs and generator of that run, and adds
items.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genrec.engine.aliases import with_current
from genrec.engine.artifacts import MANIFEST, Artifact, Store
from genrec.engine.experiments import with_replacements
from genrec.engine.overrides import flat_settings, shell_line, text_value
from genrec.engine.stage import Stage
from genrec.engine.store_files import file_lock, point, remove, target_of
from genrec.errors import ArtifactError, ConfigError, did_you_mean
from genrec.references import expand_path

STORE = ".store"  # inside paths.runs
RECORD, LOCK, AUDIT = "run.json", ".lock", "audit"  # an audit of the data may lie beside a run: audit.json and audit.html
METRICS_FILE = "metrics.json"  # of an evaluation
FORMER_METRICS = {"floors": "baselines", "floor_intervals": "baseline_intervals", "best_floor": "best_baseline"}  # its keys
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=,+@-]{0,199}")


def check_name(name: str) -> str:
    """Returns the name of a run when it can be a folder's name on any system.

    Raises:
        ConfigError: otherwise.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "name",
            expected="letters, digits and any of . _ = , + @ -, starting with a letter or digit, at most 200",
            got=repr(name),
            fix="choose another name; a run is a folder directly under paths.runs",
        )
    return name


def run_name(text: str) -> str:
    """The text itself where it can be the name of a run, else one made of it: ``Müllers Läden (1)`` gives ``Mullers_Laden_1``.

    >>> run_name("2024.q1"), run_name("Müllers Läden (1)"), run_name("数据")
    ('2024.q1', 'Mullers_Laden_1', 'run_5440f7')
    """
    if _NAME.fullmatch(text):
        return text
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9.=,+@-]+", "_", letters).strip("_.,=+@-")[:100]
    return plain or f"run_{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:6]}"


def bundle_path(path: Path) -> Path:
    """Returns the bundle of a run's folder; any other path is returned as it is.

    Raises:
        ArtifactError: when nothing is there, or the run has none: with the command that makes it.
    """
    if not path.exists():
        fix = "`genrec ls` lists the runs; `genrec export` makes a bundle"
        raise ArtifactError(path, expected="a bundle, or a run that has one", got="nothing there", fix=fix)
    if (path / MANIFEST).exists() or not (path / RECORD).exists():
        return path
    bundle = path / "bundle"
    if not (bundle / MANIFEST).exists():
        command = shell_line(["genrec", "export", *Run(path).record.get("overrides", [])])
        got = "a run without a bundle"
        raise ArtifactError(path, expected="a bundle, or a run that has one", got=got, fix=f"make it: {command}")
    return bundle


@dataclass(frozen=True)
class Run:
    """A run folder.

    Args:
        path: ``<paths.runs>/<name>``.
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def store(self) -> Store:
        return Store(self.path.parent / STORE)

    @property
    def record(self) -> dict[str, Any]:
        """``config`` (resolved), ``overrides``, ``wanted`` (kind -> fingerprint), ``started``; empty before the first start."""
        try:
            return dict(json.loads((self.path / RECORD).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration of the last start."""
        return dict(with_current(self.record.get("config", {})))

    @property
    def links(self) -> dict[str, str]:
        """Kind -> fingerprint of the artifact that the link points to, whether it exists or not."""
        fingerprints = {link.name: name for link in sorted(self.path.glob("[!.]*")) if (name := target_of(link)) is not None}
        order = list(self.record.get("wanted", {}))  # the pipeline's
        return dict(sorted(fingerprints.items(), key=lambda pair: order.index(pair[0]) if pair[0] in order else len(order)))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of artifacts this run has."""
        return tuple(kind for kind in self.links if (self.path / kind / MANIFEST).exists())

    def artifact(self, kind: str) -> Artifact:
        """One of its artifacts, checked byte by byte, and that the run's other artifacts are what it was made from.

        Raises:
            ArtifactError: when it is missing, damaged, or made from something else.
        """
        if kind not in self.kinds:
            fix = f"`genrec run` makes it; {did_you_mean(kind, self.kinds)}"
            raise ArtifactError(self.path / kind, expected="an artifact", got="nothing", fix=fix)
        artifact = Artifact(self.path / kind).check(hashes=True)
        artifact.expect_inputs(self.links)
        return artifact

    @property
    def metrics(self) -> dict[str, Any]:
        """``evaluation/metrics.json``: ``model``, ``baselines``, ``intervals``, ..."""
        return read_metrics(self.artifact("evaluation").path)

    def _repr_html_(self) -> str:
        """Shows the run's artifacts in a notebook, and its figures beside those of the baselines."""
        from genrec.engine.notebook import run_html

        return run_html(self)

    @contextmanager
    def lock(self, log: Callable[[str], None] = print) -> Iterator[None]:
        """Locks the run, since two processes with different settings would mix links to the artifacts of both."""
        with file_lock(self.path / LOCK, doing=f"working on {self.path}", log=log):
            yield

    def start(self, config: Mapping[str, Any], overrides: Sequence[str], needed: Mapping[str, str]) -> None:
        """Writes the record and removes links that this configuration no longer needs; their artifacts stay in the store."""
        self.path.mkdir(parents=True, exist_ok=True)
        record = {
            "name": self.name,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "overrides": list(overrides),
            "wanted": {**self.record.get("wanted", {}), **needed},
            "config": dict(config),
        }
        draft = self.path / f"{RECORD}.{os.getpid()}"
        draft.write_text(json.dumps(record, indent=2, ensure_ascii=False), encoding="utf-8")
        os.replace(draft, self.path / RECORD)
        for kind, fingerprint in self.links.items():
            if kind in needed and fingerprint != needed[kind]:
                remove(self.path / kind)

    def link(self, kind: str, fingerprint: str) -> None:
        """Points ``<run>/<kind>`` at the store, replacing an older link in one step."""
        link = self.path / kind
        if link.exists() and target_of(link) is None:
            raise ArtifactError(link, expected="a link into the store", got="a file or folder", fix="move it away")
        point(link, Path("..") / STORE / kind / fingerprint)


def read_metrics(evaluation: Path) -> dict[str, Any]:
    """The content of an evaluation's metrics.json in current names, whichever names it was written under.

    Raises:
        OSError: when there is no such file.
        ValueError: when it is no JSON.
    """
    metrics = dict(json.loads((evaluation / METRICS_FILE).read_text(encoding="utf-8")))
    for former, current in FORMER_METRICS.items():
        if former in metrics:
            metrics.setdefault(current, metrics[former])
    return metrics


def inherited_overrides(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides after those of the run that they extend (``extends=runs/x``).

    The name is not inherited, nor are settings of a group of which another option is chosen.
    """
    keys_given = [override.partition("=")[0] for override in overrides]
    parent = next((text_value(override)[1] for override in overrides if override.startswith("extends=")), "null")
    if parent == "null":
        return list(overrides)
    before = inherited_overrides(with_replacements(Run(expand_path(parent)).record.get("overrides", [])))
    keys = [(override, override.partition("=")[0]) for override in before]
    from_parent = [override for override, key in keys if not {key, key.partition(".")[0]} & {*keys_given, "name"}]
    return [*from_parent, *overrides]


def audited_datasets(root: Path) -> Iterator[tuple[str, str]]:
    """Yields (kind, fingerprint) of the datasets of all audits under a runs folder."""
    for file in sorted(root.glob(f"*/{AUDIT}.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            yield "dataset", str(json.loads(file.read_text(encoding="utf-8"))["dataset"]["fingerprint"])


def list_runs(root: Path) -> Iterator[Run]:
    """Yields the runs under a runs folder, by name."""
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        run = Run(folder)
        if folder.is_dir() and not folder.name.startswith(".") and (run.record or run.kinds):
            yield run


def find_folder(text: str) -> Path:
    """Returns the folder of a run or an artifact: as given, or under ``runs/``.

    Raises:
        ArtifactError: when there is neither.
    """
    path = expand_path(text)
    candidates = [path] if path.is_absolute() else [path, Path("runs") / path]
    for candidate in candidates:
        if (candidate / MANIFEST).exists() or Run(candidate).record or Run(candidate).kinds:
            return candidate
    root = path.parent if len(path.parts) > 1 else Path("runs")
    fix = did_you_mean(path.name, [run.name for run in list_runs(root)])
    raise ArtifactError(text, expected="a run or an artifact", got="neither", fix=f"`genrec ls` lists the runs; {fix}")


def parent_of(config: Mapping[str, Any], run: Run) -> Run | None:
    """Returns the run that ``run`` extends, if any.

    Raises:
        ArtifactError: when there is no such run.
        ConfigError: when it is the same.
    """
    if config["extends"] is None:
        return None
    parent = Run(expand_path(config["extends"]))
    if not parent.record:
        raise ArtifactError("extends", expected="the folder of a run", got=str(parent.path), fix="`genrec ls` lists the runs")
    if parent.path.resolve() == run.path.resolve():
        raise ConfigError("name", expected="another name than that of the run it extends", got=run.name, fix="give name=...")
    return parent


def extended_artifact(parent: Run, stage: Stage, config: Mapping[str, Any]) -> Artifact:
    """Returns the parent's artifact of a stage, once it is known that it was fitted with the settings of ``config``.

    Its data may differ, and so may the single settings of other stages that ``Stage.reads`` names.

    Raises:
        ArtifactError: when the parent has none, or it is damaged.
        ConfigError: naming the first setting that differs.
    """
    artifact = parent.artifact(stage.kind)
    old_settings, new_settings = dict(flat_settings(artifact.config)), dict(flat_settings(config))
    for key in () if stage.kind == "dataset" else (*new_settings, *old_settings):
        if key not in stage.reads and old_settings.get(key, "nothing") != new_settings.get(key, "nothing"):
            raise ConfigError(
                key,
                expected=f"{old_settings.get(key, 'nothing')}, as in {parent.path}, which is extended as it was fitted",
                got=new_settings.get(key, "nothing"),
                fix="leave it, or fit anew: run without extends",
            )
    return artifact
