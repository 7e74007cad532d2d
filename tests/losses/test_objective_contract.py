"""What every objective promises, run with every generator whose yaml chooses one."""

from __future__ import annotations

import pytest
from small_world import OPTIONS, Option

from genrec.testing import ObjectiveContract
from genrec.testing.objectives import SIDS, TRIE, Trained


class TestEveryObjective(ObjectiveContract):
    @pytest.fixture(params=OPTIONS, ids=lambda option: option.id)
    def trained(self, request: pytest.FixtureRequest) -> Trained:
        option: Option = request.param
        self.noise = 5e-3 if option.name.startswith("latent_reasoning") else 1e-4
        generator = option.build(SIDS)
        return self.ready(option.objective(TRIE, generator), generator)
