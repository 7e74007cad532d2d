"""Content hashes: what an artifact was made from, whatever the files were called and wherever they lay."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


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
    inside it. An artifact's folder counts as its fingerprint.

    Args:
        cache: a json file to remember hashes in; a lost or broken one only costs time.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        try:
            self._known: dict[str, list[Any]] = json.loads(cache.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def of(self, path: Path) -> str:
        """Hash of a file's bytes, or of all files under a folder (hidden ones aside).

        Raises:
            FileNotFoundError: when there is nothing at ``path``.
        """
        if not path.is_dir():
            return self._of_file(path)
        try:
            return str(json.loads((path / "manifest.json").read_text(encoding="utf-8"))["fingerprint"])
        except (OSError, ValueError, KeyError, TypeError):
            return digest({str(file.relative_to(path)): self._of_file(file) for file in _files(path)})

    def _of_file(self, path: Path) -> str:
        stat, key = path.stat(), str(path.resolve())
        seen, now = self._known.get(key), [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        if seen and seen[:-1] == now:
            return str(seen[-1])
        sha = sha256_file(path)
        self._known[key] = [*now, sha]
        self._remember()
        return sha

    def _remember(self) -> None:
        draft = self._cache.with_suffix(f".{os.getpid()}")
        with suppress(OSError):  # no room, or a folder that may only be read: what is lost is time
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(self._known), encoding="utf-8")
            os.replace(draft, self._cache)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path
