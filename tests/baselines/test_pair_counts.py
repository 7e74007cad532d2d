"""Pair counts against the formula, written as loops."""

import itertools

import numpy as np
import pytest

from genrec.baselines.item_knn import ItemKNN
from genrec.baselines.pair_counts import PairCounts
from genrec.baselines.transitions import Transitions
from genrec.core.dataset import Dataset
from tests.baselines.test_baseline_scores import random_dataset, tie_break

SETTINGS = [
    {},
    {"window": 1, "backward": 0.0, "log": False, "row_power": 0.0, "popularity_power": 0.0},
    {"window": 3, "gap_power": 0.6, "backward": 1.0, "history_power": 0.5, "last": 2},
    {"window": 2, "gap_power": 0.0, "row_power": 1.0, "log": False, "popularity_power": 0.3},
    {"window": 50, "gap_power": 1.5, "backward": 0.5, "history_power": 0.0, "row_power": 0.25, "last": 1},
]


def by_loops(
    dataset: Dataset,
    *,
    window=20,
    gap_power=1.0,
    backward=0.2,
    log=True,
    row_power=0.5,
    popularity_power=0.05,
    history_power=1.2,
    last=20,
) -> np.ndarray:
    counts = np.zeros((dataset.num_items, dataset.num_items))
    for user in range(dataset.num_users):
        row = dataset.train[user]
        for first, second in itertools.combinations(range(len(row)), 2):
            if (gap := second - first) <= window:
                counts[row[first], row[second]] += gap**-gap_power
                counts[row[second], row[first]] += backward * gap**-gap_power
    if log:
        counts = np.log(1 + counts)
    popularity = np.maximum(dataset.train_counts, 1)
    matrix = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-300) ** row_power / popularity**popularity_power
    histories = dataset.histories("test")
    return np.array(
        [
            sum(m**-history_power * matrix[item] for m, item in enumerate(histories[user][::-1][:last], start=1))
            for user in range(len(histories))
        ]
    )


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings) or "default")
@pytest.mark.parametrize("seed", [0, 1])
def test_pair_counts_equal_the_loops(settings, seed):
    dataset = random_dataset(seed=seed)
    baseline = PairCounts(**settings)
    baseline.fit(dataset)
    expected = by_loops(dataset, **settings) + tie_break(dataset)
    np.testing.assert_allclose(baseline.score(dataset.histories("test")), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("start", "changes"),
    [
        (PairCounts(**dict.fromkeys(PairCounts.grid)), {"window": 2, "backward": 0.0, "log": False, "history_power": 2.0}),
        (PairCounts(**dict.fromkeys(PairCounts.grid)), {"row_power": 0.0, "popularity_power": 0.2, "gap_power": 1.5}),
        (Transitions(**dict.fromkeys(Transitions.grid)), {"window": 10, "normalization": "source", "last": 1}),
        (Transitions(**dict.fromkeys(Transitions.grid)), {"decay": 0.85, "gap_decay": 0.3}),
        (ItemKNN(**dict.fromkeys(ItemKNN.grid)), {"shrinkage": 3.0, "last": 3, "decay": 0.95}),
    ],
)
def test_other_settings_without_counting_anew_equal_a_new_baseline(start, changes):
    dataset = random_dataset()
    start.fit(dataset)
    before = start.score(dataset.histories("test"))
    changed = start.with_settings(**changes)
    anew = type(start)(**start.settings | changes)
    anew.fit(dataset)
    np.testing.assert_allclose(changed.score(dataset.histories("test")), anew.score(dataset.histories("test")), rtol=1e-12)
    np.testing.assert_array_equal(start.score(dataset.histories("test")), before)


def test_far_distances_are_left_out_where_the_pairs_would_not_fit(monkeypatch):
    dataset = random_dataset()
    one = int(np.maximum(dataset.train.lengths - 1, 0).sum())
    monkeypatch.setattr("genrec.baselines.lib.item_to_item.MOST_PAIRS", one)
    wide, narrow = PairCounts(window=20), PairCounts(window=1)
    wide.fit(dataset), narrow.fit(dataset)
    assert (wide.matrix != narrow.matrix).nnz == 0


def test_nobody_with_two_events_has_pairs():
    dataset = random_dataset(users=3)
    alone = type(dataset)(
        dataset.items, dataset.users, dataset.events, dataset.events.offsets[:-1] + 1, dataset.validation_ends
    )
    baseline = PairCounts()
    baseline.fit(alone)
    np.testing.assert_array_equal(baseline.score(alone.histories("test")), np.tile(tie_break(alone), (3, 1)))
