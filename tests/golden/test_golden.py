"""Training does what it did: a change in any of twenty losses is either a bug or a line in the changelog."""

from __future__ import annotations

import json

import pytest
from regenerate import NUM_STEPS, file_of, trajectory
from small_world import OPTIONS, Option


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.id)
def test_losses_are_the_recorded_ones(option: Option) -> None:
    assert file_of(option).exists(), "run python tests/golden/regenerate.py"
    recorded = json.loads(file_of(option).read_text(encoding="utf-8"))["train/loss"]
    assert len(recorded) == NUM_STEPS
    assert trajectory(option) == pytest.approx(recorded, abs=1e-3)
