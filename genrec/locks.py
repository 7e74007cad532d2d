"""Locks between processes, as files: who has one is told, and the system lets go of it on any death."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: Path, *, doing: str, say: Callable[[str], None] = print) -> Iterator[None]:
    """Holds a lock file; waits for another holder and says so.

    Args:
        path: of the file; it and its folder are made where they are not there.
        doing: what whoever has it is doing.
        say: prints a line.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                say(f"waiting: process {holder} is {doing}")
                start = time.monotonic()
                fcntl.flock(handle, fcntl.LOCK_EX)
                say(f"waited {time.monotonic() - start:.0f} s for {path}")
            if not _is_same_file(handle, path):  # `gc` removed the file while we waited for it
                continue
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            yield
            return
        finally:
            os.close(handle)


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
