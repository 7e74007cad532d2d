"""Messages of hstu."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from small_world import OPTIONS, batch_of, sids_of

from error_cases import Case
from genrec.errors import ConfigError


def hstu(**changes: Any) -> Any:
    return next(option for option in OPTIONS if option.id == "hstu").build(sids_of(20), **changes)


CASES = [
    Case("no temperature", ConfigError, "got 0.0", lambda scene: hstu(temperature=0.0)),
    Case(
        "no times",
        ConfigError,
        "generator.time_gaps: expected times with every history, got none",
        lambda scene: hstu(time_gaps=True).score(replace(batch_of([[1]]), times=None)),
    ),
]
