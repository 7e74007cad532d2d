"""What every generator promises, run over every yaml of conf/generator (and the named variants of small_world)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_world import OPTIONS, Option

from genrec.core.event_schema import EventSchema
from genrec.core.sids import SIDTable
from genrec.core.trie import PrefixTrie
from genrec.protocols import Generator, Objective
from genrec.testing import GeneratorContract


class OptionMaker:
    """Makes generators of one option."""

    def __init__(self, option: Option) -> None:
        self.option = option

    def build(
        self,
        sids: SIDTable,
        *,
        train_counts: np.ndarray | None = None,
        seed: int = 0,
        learning: bool = False,
        schema: EventSchema | None = None,
    ) -> Any:
        larger = {"dim": 32} if learning else {}
        return self.option.build(sids, train_counts=train_counts, seed=seed, schema=schema, **larger)

    def objective(self, trie: PrefixTrie, generator: Generator) -> Objective:
        return self.option.objective(trie, generator)


class TestEveryGenerator(GeneratorContract):
    @pytest.fixture(params=OPTIONS, ids=lambda option: option.id)
    def make(self, request: pytest.FixtureRequest) -> OptionMaker:
        return OptionMaker(request.param)
