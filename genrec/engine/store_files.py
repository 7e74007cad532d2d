"""Files of the store on any system: locks between processes, and links from a run to its artifacts.

The system releases a lock (``filelock``) when its process dies. genrec never removes a lock file for which others may wait:
they would lock different files of one name. A second file names the process that has a lock, because some systems do not allow
a locked file to be read. Where symbolic links are not allowed (some Windows systems), links are junctions or copies.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_UNKNOWN = "unknown"


class Lock:
    """A lock file that this object locks with ``take``; two objects exclude each other, also within one process.

    Args:
        path: of the file; it and its folder are made where they are not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(str(path), thread_local=False)

    def take(self, *, wait: bool = False) -> bool:
        """Locks the file; returns False if another process has the lock and ``wait`` is not set.

        Raises:
            OSError: when the file cannot be made or locked.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                return False
            while not self._lock.is_locked:  # in turns: a wait without an end is taken for a deadlock by some versions
                with suppress(Timeout):
                    self._lock.acquire(timeout=60)
        with suppress(OSError):
            _note_of(self.path).write_text(f"{os.getpid()} {socket.gethostname()}", encoding="utf-8")
        return True

    def free(self) -> None:
        """Releases the lock."""
        if self._lock.is_locked:
            with suppress(OSError):
                _note_of(self.path).unlink(missing_ok=True)
            self._lock.release()


def holder(path: Path) -> str:
    """Describes the process that has a lock, with its machine if that is another one."""
    try:
        number, _, machine = _note_of(path).read_text(encoding="utf-8", errors="replace").strip().partition(" ")
    except OSError:
        number, machine = _UNKNOWN, ""
    elsewhere = f" on {machine}" if machine and machine != socket.gethostname() else ""
    return f"process {number or _UNKNOWN}{elsewhere}"


@contextmanager
def file_lock(path: Path, *, doing: str, log: Callable[[str], None] = print) -> Iterator[None]:
    """Locks a file; it logs a line while it waits for another process.

    Args:
        path: of the file; it and its folder are made where they are not there.
        doing: what the process that has the lock is doing.
        log: prints a line.
    """
    lock = Lock(path)
    if not lock.take():
        log(f"waiting: {holder(path)} is {doing}")
        start = time.monotonic()
        lock.take(wait=True)
        log(f"waited {time.monotonic() - start:.0f} s for {path}")
    try:
        yield
    finally:
        lock.free()


def _note_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.holder")


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
