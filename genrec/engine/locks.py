"""Locks between processes, as files (``filelock``): who has one is shown, and the system lets go of it on any death.

Nothing of genrec removes a lock file while others may wait for it: they would hold locks on different files of the same name.
Who has a lock stands in a file of its own beside it, since what is locked can be neither read nor kept whole on every system.
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
    """A lock file that this object holds from ``take`` on; two objects exclude each other, in one process too.

    Args:
        path: of the file; it and its folder are made where they are not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(str(path), thread_local=False)

    def take(self, *, wait: bool = False) -> bool:
        """Whether it is held now: False where somebody else has it, and ``wait`` is not set.

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
        """Lets go of it."""
        if self._lock.is_locked:
            with suppress(OSError):
                _note_of(self.path).unlink(missing_ok=True)
            self._lock.release()


def holder(path: Path) -> str:
    """Who has a lock: a process, and its machine where that is another."""
    try:
        number, _, machine = _note_of(path).read_text(encoding="utf-8", errors="replace").strip().partition(" ")
    except OSError:
        number, machine = _UNKNOWN, ""
    elsewhere = f" on {machine}" if machine and machine != socket.gethostname() else ""
    return f"process {number or _UNKNOWN}{elsewhere}"


@contextmanager
def file_lock(path: Path, *, doing: str, log: Callable[[str], None] = print) -> Iterator[None]:
    """Holds a lock file; waits for another holder and says so.

    Args:
        path: of the file; it and its folder are made where they are not there.
        doing: what whoever has it is doing.
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
