"""What every baseline promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from genrec.core.dataset import Dataset, Sequences
from genrec.engine.registry import missing_members
from genrec.engine.signatures import parameters
from genrec.protocols import Baseline, SavableBaseline
from genrec.testing.worlds import Maker, ring, vectors_of

NUM_ITEMS = 30


def runtime_of(component: type) -> dict[str, Any]:
    """Returns what genrec supplies to a baseline's constructor, by name."""
    vectors = vectors_of(NUM_ITEMS)
    return {name: vectors for name in ("item_vectors", "text_vectors") if name in parameters(component)}


def fitted(make: Maker, dataset: Dataset) -> Baseline:
    """A new baseline, fitted."""
    baseline: Baseline = make()
    baseline.fit(dataset)
    return baseline


class BaselineContract:
    """The tests of a baseline: on 30 items that follow each other in a ring, and 60 users."""

    component: ClassVar[type]  # the plug-in's class
    settings: ClassVar[Mapping[str, Any]] = {}  # arguments of its constructor

    @pytest.fixture
    def make(self) -> Maker:
        """Makes the baseline of this suite."""
        component, settings = self.component, {**runtime_of(self.component), **self.settings}
        return Maker(component.__qualname__, lambda: component(**settings))

    @pytest.fixture
    def dataset(self) -> Dataset:
        return ring(num_items=NUM_ITEMS)

    def test_it_is_a_baseline(self, make: Maker) -> None:
        assert missing_members(make(), ("Baseline",)) == []

    def test_every_item_has_a_finite_score(self, make: Maker, dataset: Dataset) -> None:
        scores = np.asarray(fitted(make, dataset).score(dataset.histories("test")))
        assert scores.shape == (dataset.num_users, NUM_ITEMS)
        assert np.isfinite(scores).all()

    def test_the_same_data_give_the_same_scores(self, make: Maker, dataset: Dataset) -> None:
        histories = dataset.histories("test")
        np.testing.assert_array_equal(fitted(make, dataset).score(histories), fitted(make, dataset).score(histories))

    def test_it_is_fitted_on_the_training_part_only(self, make: Maker, dataset: Dataset) -> None:
        changed = dataset.events.item_idx.copy()
        changed[np.arange(len(changed)) >= dataset.train_ends[dataset.events.user_idx]] = 0
        other = replace(dataset, events=Sequences(changed, dataset.events.offsets))
        histories = dataset.histories("test")
        np.testing.assert_array_equal(fitted(make, dataset).score(histories), fitted(make, other).score(histories))

    def test_a_user_is_scored_alone_as_among_others(self, make: Maker, dataset: Dataset) -> None:
        baseline, histories = fitted(make, dataset), dataset.histories("test")
        together = np.asarray(baseline.score(histories))
        for user in (0, 7, dataset.num_users - 1):
            single = np.asarray(baseline.score(histories.of(np.array([user]))))
            np.testing.assert_allclose(single[0], together[user], atol=1e-6)

    def test_an_empty_history_is_scored(self, make: Maker, dataset: Dataset) -> None:
        nobody = Sequences(np.zeros(0, np.int32), np.zeros(3, np.int64))
        scores = np.asarray(fitted(make, dataset).score(nobody))
        assert scores.shape == (2, NUM_ITEMS)
        assert np.isfinite(scores).all()

    def test_a_restored_baseline_is_equal(self, make: Maker, dataset: Dataset, tmp_path: Path) -> None:
        baseline = fitted(make, dataset)
        if not isinstance(baseline, SavableBaseline):
            pytest.skip("keeps nothing")
        baseline.save(tmp_path)
        again = make()
        again.restore(tmp_path)
        histories = dataset.histories("test")
        np.testing.assert_array_equal(again.score(histories), baseline.score(histories))

    def test_later_items_change_no_score_of_the_others(self, make: Maker, dataset: Dataset) -> None:
        baseline, histories = fitted(make, dataset), dataset.histories("test")
        if not isinstance(baseline, SavableBaseline):
            pytest.skip("keeps nothing")
        before = np.asarray(baseline.score(histories))
        grown = np.asarray(baseline.with_items(NUM_ITEMS + 5).score(histories))
        np.testing.assert_array_equal(grown[:, :NUM_ITEMS], before)
        np.testing.assert_array_equal(baseline.score(histories), before)
