"""Artifacts and the store that contains them. An artifact is complete or absent, and several runs can share it.

<store>/<kind>/<fingerprint>/            the artifact; its manifest.json was written last
<store>/<kind>/<fingerprint>.tmp/        files of a build in progress
<store>/<kind>/<fingerprint>.work/       checkpoints that survive a kill
<store>/<kind>/<fingerprint>.lock        locked while one process builds; the system releases it when the process dies
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from genrec import __version__
from genrec.engine.aliases import with_current
from genrec.engine.fingerprints import ContentHashes, digest, sha256_file
from genrec.engine.machine import environment
from genrec.engine.plain_json import read_json
from genrec.engine.store_files import Lock, file_lock
from genrec.errors import ArtifactError
from genrec.references import mask_secrets_in

SCHEMA = 2  # of manifest.json
UNSEALED = 1  # the schema before manifests had a seal: still opened, with nothing to hold the manifest itself against
MANIFEST, SEAL = "manifest.json", "seal"


@dataclass(frozen=True)
class Artifact:
    """A complete artifact on disk. Opening it reads the manifest and checks that exactly its files exist, in their full sizes.

    Args:
        path: its folder.
    """

    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Kind, schema, genrec version, config, inputs, files, created, environment, facts."""
        try:
            if not (there := (self.path / MANIFEST).resolve()).is_relative_to(self.path.resolve()):
                fix = "copy the folder with what its links point to (cp -rL)"
                raise ArtifactError(self.path / MANIFEST, expected="a file in the folder", got=f"a way to {there}", fix=fix)
            manifest = read_json(self.path / MANIFEST)
        except FileNotFoundError:
            raise ArtifactError(
                self.path, expected="an artifact (a folder with manifest.json)", got="none", fix="run the stage that makes it"
            ) from None
        except ValueError:
            raise self._damage_error(MANIFEST, "json", "something else") from None
        if not isinstance(manifest, dict) or not isinstance(manifest.get("kind", ""), str):
            raise self._damage_error(MANIFEST, "a json object with a kind", repr(manifest)[:80])
        seal, schema = manifest.pop(SEAL, None), manifest.get("schema")
        if schema not in (UNSEALED, SCHEMA):
            raise ArtifactError(
                self.path,
                expected=f"an artifact of schema {SCHEMA}",
                got=f"schema {schema} by genrec {manifest.get('genrec')}",
                fix="make it again with this version, or open it with that one",
            )
        if (seal or schema == SCHEMA) and seal != digest(manifest):
            raise self._damage_error(MANIFEST, f"content of the seal {seal}", digest(manifest))
        return manifest

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])

    @property
    def stage(self) -> str:
        """The verb that makes it."""
        return str(self.manifest["stage"])

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration subtree that its stage read."""
        return dict(with_current(self.manifest["config"]))

    @property
    def inputs(self) -> dict[str, str]:
        """Kind -> fingerprint of what it was made from."""
        return dict(self.manifest["inputs"])

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that its stage recorded."""
        return dict(self.manifest["facts"])

    def check(self, *, hashes: bool = False) -> Artifact:
        """Returns the artifact if it is undamaged: exactly its files exist, in size and, with ``hashes``, in content.

        Hidden files (those of a file manager, or of a repository that a bundle was put in) do not count.

        Raises:
            ArtifactError: naming the file, both hashes (or sizes) and the command that makes the artifact again.
        """
        for name, entry in self.manifest["files"].items():
            file = self.path / name
            if not file.is_file():
                raise self._damage_error(name, f"{entry['bytes']} bytes", "no file")
            if (size := file.stat().st_size) != entry["bytes"]:
                raise self._damage_error(name, f"{entry['bytes']} bytes", f"{size} bytes")
            if hashes and (sha := sha256_file(file)) != entry["sha256"]:
                raise self._damage_error(name, f"sha256 {entry['sha256']}", f"sha256 {sha}")
        for name, _ in _files(self.path):
            if name not in {*self.manifest["files"], MANIFEST} and not any(part.startswith(".") for part in Path(name).parts):
                raise self._damage_error(name, "no such file", "one that the manifest does not name")
        return self

    def expect_inputs(self, inputs: Mapping[str, str]) -> None:
        """Checks that it was made from the artifacts it is about to be used with.

        Raises:
            ArtifactError: with both fingerprints.
        """
        for kind, fingerprint in self.inputs.items():
            if kind in inputs and inputs[kind] != fingerprint:
                raise ArtifactError(
                    self.path,
                    expected=f"to be used with the {kind} it was made from ({fingerprint})",
                    got=f"{kind} {inputs[kind]}",
                    fix=f"run `genrec {self.stage}` again with this {kind}",
                )

    def _damage_error(self, name: str, expected: str, got: str) -> ArtifactError:
        verb = "run" if name == MANIFEST else self.stage
        # The real folder: `self.path` may be a run's link, and removing that would leave the damage in the store.
        fix = f"damaged; remove it (rm -r {self.path.resolve()}) and run `genrec {verb}` again"
        return ArtifactError(self.path / name, expected=expected, got=got, fix=fix)


class Store:
    """All artifacts of a runs folder, by kind and fingerprint.

    Args:
        root: usually ``<paths.runs>/.store``.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.hashes = ContentHashes(self.root / "hashes.json")
        self._verified: set[Path] = set()

    def folder(self, kind: str, fingerprint: str) -> Path:
        """Returns the folder of the artifact, whether it exists or not."""
        return self.root / kind / fingerprint

    def find(self, kind: str, fingerprint: str) -> Artifact | None:
        """Returns the artifact, or None when it does not exist.

        Raises:
            ArtifactError: when it is there but damaged.
        """
        artifact = Artifact(self.folder(kind, fingerprint))
        return artifact.check() if (artifact.path / MANIFEST).exists() else None

    def open(self, kind: str, fingerprint: str, *, wanted_by: str) -> Artifact:
        """Returns the artifact as the input of another stage; its files are hashed once per process.

        Raises:
            ArtifactError: when it is missing or damaged.
        """
        artifact = self.find(kind, fingerprint)
        if artifact is None:
            raise ArtifactError(
                self.folder(kind, fingerprint),
                expected=f"the {kind} of {wanted_by}",
                got="nothing",
                fix="run `genrec run` again",
            )
        if artifact.path not in self._verified:
            artifact.check(hashes=True)
            self._verified.add(artifact.path)
        return artifact

    def work(self, kind: str, fingerprint: str) -> Path:
        """Returns the folder of checkpoints, which survives a kill."""
        return self.folder(kind, fingerprint).with_name(f"{fingerprint}.work")

    def make(
        self,
        kind: str,
        fingerprint: str,
        build: Callable[[Path, Path], Mapping[str, Any]],
        *,
        stage: str,
        config: Mapping[str, Any],
        inputs: Mapping[str, str],
        external: Mapping[str, str] | None = None,
        machine: Callable[[], Mapping[str, Any]] = dict,
        log: Callable[[str], None] = print,
        anew: bool = False,
    ) -> Artifact:
        """Makes an artifact, unless another process has made it meanwhile.

        Args:
            build: called with (folder, work); writes the files into ``folder`` and returns the facts.
            stage: the verb, for messages.
            config: the subtree it reads.
            inputs: kind -> fingerprint.
            external: configuration key -> content hash of the files outside the store.
            machine: what it was made on (device, threads), asked when it is made.
            anew: make it even where it is there, and from the beginning; the older one stays until the new one is whole.
        """
        final = self.folder(kind, fingerprint)
        draft, work = final.with_name(f"{fingerprint}.tmp"), self.work(kind, fingerprint)
        older = final.with_name(f"{fingerprint}.old")
        with self.lock(kind, fingerprint, log=log):
            if not anew and (artifact := self.find(kind, fingerprint)):
                return artifact
            for leftover in (
                draft,
                older,
                work if anew else final,
            ):  # left by a process that died, because this one has the lock
                shutil.rmtree(leftover, ignore_errors=True)
            draft.mkdir(parents=True)
            work.mkdir(exist_ok=True)
            start = time.perf_counter()
            facts = build(draft, work)
            seconds = time.perf_counter() - start
            manifest = {
                "kind": kind,
                "fingerprint": fingerprint,
                "stage": stage,
                "schema": SCHEMA,
                "genrec": __version__,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "config": dict(config),
                "external": dict(external or {}),
                "inputs": dict(inputs),
                "files": {name: {"bytes": file.stat().st_size, "sha256": sha256_file(file)} for name, file in _files(draft)},
                "environment": {**environment(), **machine()},
                "seconds": round(seconds, 2),
                "facts": mask_secrets_in(dict(facts)),
            }
            text = json.dumps(seal_manifest(manifest), indent=2, ensure_ascii=False)
            (draft / MANIFEST).write_text(text, encoding="utf-8")
            readers = (draft / MANIFEST).stat().st_mode  # safetensors lets the owner alone read its files
            for _, file in _files(draft):
                file.chmod(readers)
            for path in (*draft.rglob("*"), draft):
                sync(path)
            if final.exists():
                os.rename(final, older)
            os.rename(draft, final)
            sync(final.parent)
            shutil.rmtree(older, ignore_errors=True)
        self.tidy(kind, fingerprint)
        self._verified.add(final)
        return Artifact(final)

    def tidy(self, kind: str, fingerprint: str) -> None:
        """Removes the checkpoints of a whole artifact; a process killed right after finishing one may have left them."""
        shutil.rmtree(self.work(kind, fingerprint), ignore_errors=True)

    @contextmanager
    def lock(self, kind: str, fingerprint: str, *, log: Callable[[str], None] = print) -> Iterator[None]:
        """Locks one fingerprint; it logs a line while it waits for another process."""
        path = self.folder(kind, fingerprint).with_name(f"{fingerprint}.lock")
        with file_lock(path, doing=f"making {kind} {fingerprint}", log=log):
            yield

    def remove(self, kind: str, fingerprint: str) -> bool:
        """Deletes an artifact with all that belongs to it; False when a process is using it."""
        path = self.folder(kind, fingerprint)
        lock = Lock(path.with_name(f"{fingerprint}.lock"))
        if not lock.take():
            return False
        try:
            (path / MANIFEST).unlink(missing_ok=True)  # first, so that a partly deleted artifact does not look complete
            for folder in (path, *(path.with_name(f"{fingerprint}.{part}") for part in ("tmp", "work", "old"))):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.free()
        return True

    def entries(self) -> list[tuple[str, str]]:
        """Returns (kind, fingerprint) of everything in the store, complete or not; lock files alone do not count."""
        return sorted(
            {
                (folder.parent.name, folder.name.split(".")[0])
                for folder in self.root.glob("*/*")
                if folder.is_dir() and not folder.name.startswith(".")
            }
        )


def seal_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Adds to a manifest the hash of its own content, since no other file records it."""
    content = json.loads(json.dumps({key: value for key, value in manifest.items() if key != SEAL}))  # as it will be read
    return {**content, SEAL: digest(content)}


def _files(folder: Path) -> list[tuple[str, Path]]:
    return [(str(path.relative_to(folder)), path) for path in sorted(folder.rglob("*")) if path.is_file()]


def sync(path: Path) -> None:
    """Writes a file, or the names in a folder, to disk before it returns."""
    windows = os.name == "nt"
    if windows and path.is_dir():  # it has no handles of folders
        return
    handle = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
