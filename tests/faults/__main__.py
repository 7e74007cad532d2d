"""All faults with their totals: ``python -m tests.faults`` (minutes); ``python -m tests.faults -m "not slow"`` (seconds)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.exit(pytest.main([str(Path(__file__).parent), "-q", "-m", "slow or not slow", "-p", "no:cacheprovider", *sys.argv[1:]]))
