"""What a machine and its software are called, for manifests."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from functools import cache
from pathlib import Path
from typing import Any

_TOLD_VERSIONS = ("torch", "lightning", "transformers", "numpy", "scipy", "scikit-learn", "polars", "safetensors")


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def environment() -> dict[str, Any]:
    """Versions of Python and of the libraries that results depend on, system and processor."""
    versions = {name: _version(name) for name in _TOLD_VERSIONS}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        **versions,
    }


def _processor() -> str:
    """The processor's name; ``platform.processor()`` is empty on most Linux systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
