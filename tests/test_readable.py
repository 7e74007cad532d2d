"""Whose fault it is that a file of a bundle cannot be read."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from genrec.engine.machine import MachineError
from genrec.errors import ArtifactError
from genrec.recommender.bundle_layout import readable_errors


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
        OSError(errno.EIO, "Input/output error", "weights"),
        PermissionError(errno.EACCES, "Permission denied", "weights"),
    ],
    ids=repr,
)
def test_the_machine_is_not_taken_for_a_damaged_bundle(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(MachineError), readable_errors(tmp_path):
        raise error


@pytest.mark.parametrize(
    "error", [ValueError("no header"), KeyError("codes"), FileNotFoundError(errno.ENOENT, "No such file", "weights")], ids=repr
)
def test_a_damaged_bundle_is_told_with_what_its_reader_said(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(ArtifactError, match=type(error).__name__) as told, readable_errors(tmp_path):
        raise error
    assert str(tmp_path) in str(told.value)
