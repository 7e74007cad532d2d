"""The names and versions of the machine and its software, for manifests."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parents[1]
_REPORTED_VERSIONS = ("torch", "lightning", "transformers", "numpy", "scipy", "scikit-learn", "polars", "safetensors")


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def environment() -> dict[str, Any]:
    """Versions of Python and of the libraries that results depend on, system and processor, and genrec's own source."""
    versions = {name: _version(name) for name in _REPORTED_VERSIONS}
    return {
        **source_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        **versions,
    }


@cache
def source_state(package: Path = _PACKAGE) -> dict[str, Any]:
    """The commit of genrec that this process runs, and whether its source or configuration differed from it.

    It is asked once: a process keeps the code that it began with, whatever is committed or edited while it runs.

    Returns:
        ``commit`` (40 hex digits) and ``dirty``; both None where genrec was installed and is no checkout, or there is no git.
    """
    unknown = {"commit": None, "dirty": None}
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:  # installed within somebody else's repository
        return unknown
    commit = _git(package, "rev-parse", "HEAD")
    conf = [str(path) for path in (package.parent / "conf",) if path.is_dir()]
    changes = _git(package, "status", "--porcelain", "--", ".", *conf)
    return unknown if commit is None or changes is None else {"commit": commit, "dirty": changes != ""}


def _git(folder: Path, *words: str) -> str | None:
    """Returns the output of a git command in a folder; None where it fails or git is missing."""
    surroundings = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}  # a hook's own repository
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=30,
            env=surroundings | {"GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    """The processor's name; ``platform.processor()`` is empty on most Linux systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
