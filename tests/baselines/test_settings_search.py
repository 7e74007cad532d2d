"""Open settings are chosen on validation targets: the figure they are chosen by, and what is chosen."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import polars as pl
import pytest

from genrec.baselines.item_knn import ItemKNN
from genrec.baselines.lib.ranking import ranked_tables, scores_of
from genrec.baselines.lib.setting_search import OpenSettings, ValidationSample, choose, most_tries
from genrec.baselines.pair_counts import PairCounts
from genrec.baselines.popularity import Popularity
from genrec.baselines.transitions import Transitions
from genrec.evaluation.measure import accuracy
from genrec.metrics.lib.tables import targets_of
from tests.baselines.test_baseline_scores import random_dataset
from tests.small_evaluation import walks

BASELINES = [Popularity(), ItemKNN(), Transitions(), PairCounts(), Transitions(window=1, last=1)]


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("baseline", BASELINES, ids=lambda baseline: type(baseline).__name__)
@pytest.mark.parametrize("dataset", [walks(repeats=True), random_dataset(users=200, items=60)], ids=["walks", "random"])
def test_the_figure_is_that_of_the_evaluation(dataset, baseline, exclude_seen):
    """With and without the sparse shortcut; expected rank in ties."""
    baseline.fit(dataset)
    sample = ValidationSample.draw(dataset, exclude_seen=exclude_seen, num_users=10_000, seed=0)
    tables = ranked_tables(scores_of(baseline), dataset, "validation", k=10, exclude_seen=exclude_seen)
    expected = accuracy(pl.concat(tables), targets_of(dataset, "validation"), [10])["ndcg@10"].mean()
    assert sample.ndcg(baseline) == pytest.approx(expected, abs=1e-12)


def test_what_is_chosen_is_the_best_of_what_was_tried():
    dataset = walks(users=300)
    sample = ValidationSample.draw(dataset, exclude_seen=True, num_users=150, seed=3)
    told: list[int] = []
    open_ones = dict.fromkeys(PairCounts.grid)
    choice = choose(PairCounts(**open_ones), dataset, sample, advance=told.append)
    first = PairCounts(**{name: values[0] for name, values in PairCounts.grid.items()})
    first.fit(dataset)
    assert choice.ndcg == pytest.approx(sample.ndcg(choice.baseline))
    assert choice.ndcg >= sample.ndcg(first)
    assert sum(told) == choice.tried <= most_tries(PairCounts(**open_ones))
    assert choice.settings == choice.baseline.settings
    for name, values in PairCounts.grid.items():  # no single step from there is better
        for value in values:
            assert sample.ndcg(choice.baseline.with_settings(**{name: value})) <= choice.ndcg + 1e-12


def test_what_the_user_gives_stays():
    dataset = walks()
    sample = ValidationSample.draw(dataset, exclude_seen=True, num_users=100, seed=0)
    for given in ({"window": 3}, {"decay": 0.3, "window": 1}, {"normalization": "source"}, {"last": 2}, {"gap_decay": 0.9}):
        choice = choose(Transitions(**dict.fromkeys(Transitions.grid) | given), dataset, sample)
        assert {name: choice.settings[name] for name in given} == given
        assert set(choice.chosen) == set(Transitions.grid) - set(given)
    whole = choose(Transitions(), dataset, sample)
    assert (whole.chosen, whole.ndcg) == ((), None)


def test_nothing_of_validation_is_fitted_and_nothing_of_the_test_is_looked_at():
    dataset = walks(users=200)
    train = dataset.train
    other_tests = dataset.events.item_idx.copy()
    for user in range(dataset.num_users):  # the test items are others: nothing may change
        other_tests[dataset.validation_ends[user]] = 0
    blind = type(dataset)(
        dataset.items,
        dataset.users,
        type(dataset.events)(other_tests, dataset.events.offsets),
        dataset.train_ends,
        dataset.validation_ends,
        facts=dataset.facts,
    )
    chosen = []
    for each in (dataset, blind):
        sample = ValidationSample.draw(each, exclude_seen=True, num_users=100, seed=0)
        assert np.isin(sample.targets, dataset.targets("validation").item_idx).all()
        choice = choose(PairCounts(**dict.fromkeys(PairCounts.grid)), each, sample)
        chosen.append((choice.settings, choice.baseline.matrix.toarray()))
    assert chosen[0][0] == chosen[1][0]
    np.testing.assert_array_equal(chosen[0][1], chosen[1][1])
    refit = PairCounts(**chosen[0][0])
    refit.fit(type(dataset)(dataset.items, dataset.users, train, train.offsets[1:], train.offsets[1:]))
    np.testing.assert_array_equal(refit.matrix.toarray(), chosen[0][1])


def test_nobody_to_choose_on():
    dataset = walks()
    nobody = type(dataset)(dataset.items, dataset.users, dataset.events, dataset.validation_ends, dataset.validation_ends)
    sample = ValidationSample.draw(nobody, exclude_seen=True, num_users=100, seed=0)
    choice = choose(PairCounts(**dict.fromkeys(PairCounts.grid)), nobody, sample)
    assert choice.ndcg is None
    assert choice.settings == {name: values[0] for name, values in PairCounts.grid.items()}


class Constant(OpenSettings):
    """A baseline of somebody else, without a way to change its settings once fitted."""

    grid: ClassVar = {"item": (0, 5, 7)}

    def __init__(self, *, item: int | None = None) -> None:
        self.settle(item=item)

    def fit(self, dataset):
        self.num_items = dataset.num_items

    def score(self, histories):
        return np.tile(np.arange(self.num_items) == self.item, (len(histories), 1)).astype(float)


def test_a_baseline_of_somebody_else_is_searched_too():
    dataset = walks(users=100)
    sample = ValidationSample.draw(dataset, exclude_seen=False, num_users=100, seed=0)
    found = choose(Constant(), dataset, sample)
    counts = np.bincount(sample.targets, minlength=dataset.num_items)
    assert found.settings["item"] == max(Constant.grid["item"], key=lambda item: counts[item])
    assert found.tried == 3
