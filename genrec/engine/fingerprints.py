"""Content hashes of the files that an artifact was made from; they do not depend on names and folders."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20
_TICK = 20_000_000  # ns; files are dated by a clock that ticks every few milliseconds
_MANIFEST = "manifest.json"


def digest(value: Any) -> str:
    """Hash of a json-like value (16 hex digits); the order of keys does not matter."""
    line = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(line.encode()).hexdigest()[:16]


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


class ContentHashes:
    """Hashes of external files and folders, remembered by path, size, and times of modification and change.

    (A copy that keeps the modification time, such as ``rsync -t`` makes, has another time of change.)

    A file's name and place stay out of its hash, so moving the data repeats no work; a folder's hash covers the names
    inside it, links to other folders included. An artifact's folder counts as its fingerprint, once its files are those
    that its manifest lists and the manifest is genrec's own: with kind, schema, and the right seal.

    Args:
        cache: a json file to remember hashes in; a lost or broken one only costs time.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        try:
            self._hashes: dict[str, list[Any]] = json.loads(cache.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._hashes = {}

    def of(self, path: Path) -> str:
        """Hash of a file's bytes, or of all files under a folder (hidden ones aside); of an archive for a file inside it.

        Raises:
            FileNotFoundError: when there is nothing at ``path``.
        """
        if not path.is_dir():
            archive = next((parent for parent in path.parents if parent.is_file()), None)
            return (
                self._hash_file(path) if archive is None else digest([self._hash_file(archive), str(path.relative_to(archive))])
            )
        files = {name: self._hash_file(file) for name, file in _files(path)}
        manifest = _genuine_manifest(path)
        if manifest and {name: entry["sha256"] for name, entry in manifest["files"].items()} == _without_manifest(files):
            return str(manifest["fingerprint"])
        return digest(files)

    def _hash_file(self, path: Path) -> str:
        key = str(path.resolve())
        while True:
            stat = _stable_stat(path)
            seen, state = self._hashes.get(key), [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            if seen and seen[:-1] == state:
                return str(seen[-1])
            sha, after = sha256_file(path), path.stat()
            if [after.st_size, after.st_mtime_ns, after.st_ctime_ns] == state:  # else the file changed while it was read
                break
        self._hashes[key] = [*state, sha]
        self._remember()
        return sha

    def _remember(self) -> None:
        draft = self._cache.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        with suppress(OSError):  # no room, or a folder that may only be read: what is lost is time
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(dict(self._hashes)), encoding="utf-8")
            os.replace(draft, self._cache)


def _stable_stat(path: Path) -> os.stat_result:
    """Returns a file's state after waiting one clock tick since its last change, as two changes within a tick look equal."""
    while abs(time.time_ns() - (stat := path.stat()).st_ctime_ns) < _TICK:
        time.sleep(_TICK / 1e9)
    return stat


def _genuine_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of an artifact of genrec; None for any other file of that name."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        seal = manifest.pop("seal")
        genuine = seal == digest(manifest) and {"kind", "schema", "fingerprint"} <= set(manifest)
        return manifest if genuine and all("sha256" in entry for entry in manifest["files"].values()) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _without_manifest(files: dict[str, str]) -> dict[str, str]:
    return {name: sha for name, sha in files.items() if name != _MANIFEST}


def _files(folder: Path, prefix: str = "", above: tuple[Path, ...] = ()) -> Iterator[tuple[str, Path]]:
    """(name, file) of all that is below a folder, through links too; a link back to a folder above is not followed."""
    target = folder.resolve()
    if target in above:
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files(path, f"{prefix}{path.name}/", (*above, target))
        elif path.is_file():
            yield f"{prefix}{path.name}", path
