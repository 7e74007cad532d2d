"""Files that are not what their names promise, told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from safetensors import SafetensorError

from genrec.engine.os_errors import wrap_os_errors
from genrec.errors import ArtifactError

_STUMBLES = (
    *(ValueError, LookupError, TypeError, AttributeError, OSError, RuntimeError),
    *(pl.exceptions.PolarsError, SafetensorError),
)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What a reader stumbles over while a bundle is opened is an error of the bundle, though its manifest may know the file so.

    Args:
        path: of the bundle.

    Raises:
        ArtifactError: with what its reader says.
        MachineError: where not the file is at fault but memory, the disk or a permission.
    """
    try:
        with wrap_os_errors():
            yield
    except _STUMBLES as error:
        got = f"{type(error).__name__}: {error}"[:300]
        raise ArtifactError(path, expected="files as `genrec export` writes them", got=got, fix="export it again") from error
