"""Locks between processes, as files (``filelock``). The system releases a lock when its process dies.

genrec never removes a lock file for which others may wait: they would lock different files of one name. A second file names the
process that has a lock, because some systems do not allow a locked file to be read.
"""

from __future__ import annotations

import os
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
