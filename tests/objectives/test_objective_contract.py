"""What every objective of conf/objective promises, with a generator that it fits; a new yaml is tested the moment it exists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from small_world import OPTIONS, Option

from genrec.engine.components import TARGET, instantiate
from genrec.engine.config import compose, groups
from genrec.errors import ConfigError
from genrec.protocols import HasItemHead
from genrec.testing import ObjectiveContract
from genrec.testing.objectives import SIDS, TRIE, Trained

CHOSEN = {option.tree["objective"][TARGET] for option in OPTIONS}
OTHERS = [  # that no generator's yaml chooses
    name for name in groups()["objective"] if compose([f"objective={name}"]).tree["objective"][TARGET] not in CHOSEN
]


def first_that_fits(node: Mapping[str, Any]) -> Trained:
    """The objective of a yaml, and the first generator that it accepts."""
    objective = instantiate(node, "objective", trie=TRIE, train_counts=np.ones(SIDS.num_items, np.int64))
    for option in OPTIONS:
        generator = option.build(SIDS)
        if isinstance(generator, HasItemHead) and generator.has_item_head:
            continue  # that an objective trains it is a setting
        try:
            objective.check(generator)
        except ConfigError:
            continue
        return Trained(objective, generator)
    raise AssertionError("no shipped generator fits")


class TestEveryObjective(ObjectiveContract):
    @pytest.fixture(params=[*OPTIONS, *OTHERS], ids=lambda which: which if isinstance(which, str) else which.id)
    def trained(self, request: pytest.FixtureRequest) -> Trained:
        if isinstance(request.param, str):
            return self.ready(*first_that_fits(compose([f"objective={request.param}"]).tree["objective"]))
        option: Option = request.param
        self.noise = 5e-3 if option.name.startswith("latent_reasoning") else 1e-4
        generator = option.build(SIDS)
        return self.ready(option.objective(TRIE, generator), generator)
