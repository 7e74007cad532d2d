"""The table of messages: files of what belongs together, each with its ``CASES`` (see tests/test_errors.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from genrec.errors import GenRecError


@dataclass(frozen=True)
class Scene:
    """Where a case happens.

    Args:
        path: an empty folder, also the working directory.
        monkeypatch: pytest's.
    """

    path: Path
    monkeypatch: pytest.MonkeyPatch


@dataclass(frozen=True)
class Case:
    """One way to go wrong.

    Args:
        name: of the case.
        error: the exact class.
        value: the offending value as it must stand in the message.
        trigger: does it.
    """

    name: str
    error: type[GenRecError]
    value: str
    trigger: Callable[[Scene], Any]
