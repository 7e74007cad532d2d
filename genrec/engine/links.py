"""Links from a run to its artifacts; junctions or copies where symbolic links are not allowed (some Windows systems)."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

_MANIFEST = "manifest.json"


def point(link: Path, target: Path) -> None:
    """Makes ``link`` lead to a folder beside it, ``../x/y``, replacing an older one, in one step where that can be.

    Args:
        link: its folder is there.
        target: relative to the link's folder.
    """
    draft = link.with_name(f".{link.name}.{os.getpid()}")
    remove(draft)
    try:
        draft.symlink_to(target, target_is_directory=True)
    except (OSError, NotImplementedError):
        _substitute(draft, (link.parent / target).resolve())
    try:
        os.replace(draft, link)
    except OSError:  # a folder is not replaced by another
        remove(link)
        os.replace(draft, link)


def target_of(link: Path) -> str | None:
    """Returns the last part of a link's target, whether it exists or not; None where there is no link."""
    if link.is_symlink() or _is_junction(link):
        return Path(os.readlink(link)).name
    try:  # a copy
        manifest = json.loads((link / _MANIFEST).read_text(encoding="utf-8"))
        return str(manifest["fingerprint"]) if manifest["kind"] == link.name else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove(link: Path) -> None:
    """Removes a link and leaves its target."""
    if link.is_symlink():
        link.unlink()
    elif _is_junction(link):
        os.rmdir(link)
    elif link.is_dir():
        shutil.rmtree(link)
    else:
        link.unlink(missing_ok=True)


def _substitute(link: Path, target: Path) -> None:
    try:
        from _winapi import CreateJunction  # type: ignore[attr-defined]
    except ImportError:
        shutil.copytree(target, link, copy_function=_share)
    else:
        CreateJunction(str(target), str(link))


def _share(source: str, copy: str) -> None:
    try:
        os.link(source, copy)  # artifacts do not change: one file under two names will do
    except OSError:
        shutil.copy2(source, copy)


def _is_junction(path: Path) -> bool:
    if os.name != "nt":
        return False
    try:
        return bool(os.readlink(path))
    except OSError:
        return False
