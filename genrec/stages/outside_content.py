"""What a stage depends on outside the store: files, artifacts of other runs, plug-ins' source; and that it stays as it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genrec.artifacts import Store
from genrec.config import outside_files
from genrec.errors import DataError
from genrec.sources import plugin_sources
from genrec.stages.stage import Stage


def files_of(stage: Stage, tree: Mapping[str, Any]) -> dict[str, Path]:
    """Configuration key -> file or folder outside the store whose content counts.

    Raises:
        ArtifactError: where a setting names a run that lacks what it stands for.
    """
    named = outside_files(tree, [key for key in stage.reads if "." not in key])
    return {key: stage.stands_for.get(key, _itself)(path) for key, path in named.items()}


def content_of(files: Mapping[str, Path], subtree: Mapping[str, Any], store: Store) -> dict[str, str]:
    """Configuration key -> content hash, and ``source of <module>`` -> content hash for plug-ins.

    Raises:
        DataError: for a file that is not there.
    """
    return {key: _hash(key, path, store) for key, path in files.items()} | plugin_sources(subtree)


def refuse_changes(stage: str, files: Mapping[str, Path], known: Mapping[str, str], store: Store) -> None:
    """Checks that what a stage reads has the content that its fingerprint says.

    Raises:
        DataError: naming the first file or folder that has another.
    """
    for key, path in files.items():
        if (now := _hash(key, path, store)) != known[key]:
            raise DataError(
                key,
                expected=f"{path} as it was when `genrec {stage}` was planned ({known[key][:12]})",
                got=f"other content ({now[:12]})",
                fix="nothing of it was kept; let whatever writes it finish, and run the same command again",
            )


def _itself(path: Path) -> Path:
    return path


def _hash(key: str, path: Path, store: Store) -> str:
    try:
        return store.hashes.of(path)
    except FileNotFoundError:
        fix = f"put it there, or give {key}=..."
        raise DataError(key, expected="a file or folder", got=f"nothing at {path}", fix=fix) from None
