"""Messages of the diagnose stage."""

from __future__ import annotations

from typing import Any

import numpy as np
from small_world import ring

from error_cases import Case, Scene
from genrec.core.dataset import Dataset
from genrec.errors import ConfigError, DataError
from genrec.evaluation.list_settings import RecommendSettings
from genrec.stages.diagnose import DiagnoseSettings, sampled_split


def nothing_held_out(scene: Scene) -> Any:
    world = ring()
    ends = np.asarray(world.events.offsets[1:])
    dataset = Dataset(items=world.items, users=world.users, events=world.events, train_ends=ends, validation_ends=ends)
    return sampled_split(dataset, RecommendSettings(splits=("test",)))


CASES = [
    Case("no users", ConfigError, "got 0", lambda scene: DiagnoseSettings(num_users=0)),
    Case("fewer than no users", ConfigError, "-1", lambda scene: DiagnoseSettings(because_of=-1)),
    Case("nothing to predict", DataError, "['test']", nothing_held_out),
]
