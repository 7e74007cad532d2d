"""Errors of the machine (memory, disk space, permission) as one-line errors: they are no bugs, so no traceback is shown."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from genrec.errors import GenRecError

_GO_ON = "the same command goes on where it stopped"
_ROOM = ("room on the disk", f"make some; {_GO_ON}")
_LEAVE = ("permission to read and write there", "allow it, or choose another place")
_DISK = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EACCES: _LEAVE,
    errno.EPERM: _LEAVE,
    errno.EROFS: _LEAVE,
    errno.EIO: ("a disk that can be read and written", f"check it; {_GO_ON}"),
}
_RUST = re.compile(r"\(os error (\d+)\)")  # how safetensors and polars report an error of the system
_NO_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")  # of torch: on the CPU, elsewhere, inside cuBLAS


class MachineError(GenRecError):
    """A resource that the machine lacks or refuses."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out; smaller batches may fit.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."))
    True
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
    )


def as_machine_error(error: BaseException) -> MachineError | None:
    """Converts an error of Python or a library; None for a GenRecError, and for errors that are not the machine's."""
    if isinstance(error, GenRecError):
        return None
    if is_out_of_memory(error):
        got = str(error).strip().partition("\n")[0] or type(error).__name__
        fix = "lower train.batch_states, recommend.batch_size or the number of beams"
        return MachineError("memory", expected="enough of it", got=got, fix=fix)
    match = _RUST.search(str(error))
    number = error.errno if isinstance(error, OSError) and error.errno else int(match[1]) if match else None
    if number not in _DISK:
        return None
    expected, fix = _DISK[number]
    where = getattr(error, "filename", None) or "disk"
    return MachineError(where, expected=expected, got=os.strerror(number), fix=fix)


@contextmanager
def wrap_os_errors() -> Iterator[None]:
    """Converts errors of memory and disk into a ``MachineError``.

    Raises:
        MachineError: in place of an error of memory or of the disk.
    """
    try:
        yield
    except Exception as error:
        if refusal := as_machine_error(error):
            raise refusal from error
        raise
