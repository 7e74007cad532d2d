"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path


def expanded(path: str | Path) -> Path:
    """The path with ``~`` as the home folder; a name that only begins with ``~``, of nobody's home, stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
