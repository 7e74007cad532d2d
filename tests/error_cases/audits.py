"""Messages of the audit and its baselines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from small_evaluation import walks

from error_cases import Case, Scene
from genrec.audits.audit import measure
from genrec.baselines.graph import GraphHeuristic
from genrec.errors import ConfigError, DataError


def nothing_held_out(scene: Scene) -> Any:
    dataset = walks(users=4)
    ends = dataset.events.offsets[1:]
    return measure(replace(dataset, train_ends=ends, validation_ends=ends, facts={"split": {"rule": "all"}}), print)


CASES = [
    Case("nothing held out", DataError, "0 test targets ({'rule': 'all'})", nothing_held_out),
    Case("no budgets", ConfigError, "got ((7, -2),)", lambda scene: GraphHeuristic(budgets=((7, -2),))),
    Case("negative weight of counts", ConfigError, "-0.5", lambda scene: GraphHeuristic(count_weight=-0.5)),
]
