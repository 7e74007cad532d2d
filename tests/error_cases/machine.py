"""What the machine refuses, and what that leaves to tell."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from error_cases import Case, Scene
from genrec.engine.machine import MachineError, wrap_os_errors


def raised(error: Exception) -> Callable[[Scene], Any]:
    @wrap_os_errors()
    def trigger(scene: Scene) -> Any:
        raise error

    return trigger


CASES = [
    *(
        Case(errno.errorcode[number], MachineError, os.strerror(number), raised(OSError(number, os.strerror(number), "a/b")))
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)
    ),
    Case("of safetensors", MachineError, "No space left", raised(RuntimeError("I/O error: No space left (os error 28)"))),
    Case("memory of the CPU", MachineError, "allocate memory", raised(RuntimeError("can't allocate memory: 8"))),
    Case("memory of Python", MachineError, "MemoryError", raised(MemoryError())),
]
