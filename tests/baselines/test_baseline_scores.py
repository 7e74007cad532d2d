"""Baselines against their definitions, written as loops."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from genrec.baselines.item_knn import ItemKNN
from genrec.baselines.lib.ranking import TIE_BREAK
from genrec.baselines.popularity import Popularity
from genrec.baselines.transitions import Transitions
from genrec.core.dataset import Dataset, Sequences
from genrec.errors import ConfigError


def random_dataset(*, users: int = 30, items: int = 12, repeats: bool = True, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 9, users)
    events = [rng.choice(items, length, replace=repeats) for length in lengths]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Dataset(
        items=pl.DataFrame({"item_id": [f"i{i}" for i in range(items)]}),
        users=pl.DataFrame({"user_id": [f"u{u}" for u in range(users)]}),
        events=Sequences(np.concatenate(events).astype(np.int32), offsets),
        train_ends=offsets[1:] - 2,
        validation_ends=offsets[1:] - 1,
    )


def tie_break(dataset: Dataset) -> np.ndarray:
    return TIE_BREAK * dataset.train_counts / dataset.train_counts.max()


@pytest.mark.parametrize("normalization", ["source", "log"])
def test_transitions_equal_the_loop(normalization):
    dataset = random_dataset()
    counts = np.zeros((dataset.num_items, dataset.num_items))
    for user in range(dataset.num_users):
        row = dataset.train[user]
        for t, source in enumerate(row):
            for gap in range(1, 4):
                if t + gap < len(row):
                    counts[source, row[t + gap]] += 0.5 ** (gap - 1)
    weight = np.log1p(counts) if normalization == "log" else counts / np.maximum(dataset.train_counts, 1)[:, None]
    histories = dataset.histories("test")
    expected = [sum(0.7**m * weight[item] for m, item in enumerate(histories[u][::-1][:2])) for u in range(len(histories))]

    baseline = Transitions(window=3, gap_decay=0.5, last=2, decay=0.7, normalization=normalization)
    baseline.fit(dataset)
    np.testing.assert_allclose(baseline.score(histories), np.array(expected) + tie_break(dataset), atol=1e-13)


@pytest.mark.parametrize(("shrinkage", "neighbours"), [(0.0, 1000), (5.0, 1000), (0.0, 3)])
def test_item_knn_equals_the_loop(shrinkage, neighbours, monkeypatch):
    monkeypatch.setattr("genrec.baselines.item_knn.ROWS_AT_ONCE", 5)
    dataset = random_dataset()
    owners = [{u for u in range(dataset.num_users) if i in dataset.train[u]} for i in range(dataset.num_items)]
    similar = np.zeros((dataset.num_items, dataset.num_items))
    for a in range(dataset.num_items):
        for b in range(dataset.num_items):
            if a != b and owners[a] & owners[b]:
                similar[a, b] = len(owners[a] & owners[b]) / (math.sqrt(len(owners[a]) * len(owners[b])) + shrinkage)
        nearest = sorted(range(dataset.num_items), key=lambda b: (-similar[a, b], b))
        similar[a, nearest[neighbours:]] = 0.0
    histories = dataset.histories("test")
    expected = [sum(0.8**m * similar[item] for m, item in enumerate(histories[u][::-1][:4])) for u in range(len(histories))]

    baseline = ItemKNN(neighbours=neighbours, last=4, decay=0.8, shrinkage=shrinkage)
    baseline.fit(dataset)
    np.testing.assert_allclose(baseline.score(histories), np.array(expected) + tie_break(dataset), atol=1e-13)


def test_popularity_is_the_training_counts():
    dataset = random_dataset()
    baseline = Popularity()
    baseline.fit(dataset)
    expected = np.bincount(np.concatenate([dataset.train[u] for u in range(dataset.num_users)]), minlength=dataset.num_items)
    np.testing.assert_array_equal(baseline.score(dataset.histories("test")), np.tile(expected, (dataset.num_users, 1)))


@pytest.mark.parametrize("make", [Popularity, ItemKNN, Transitions])
def test_baselines_are_fitted_on_the_training_part_only(make):
    dataset = random_dataset()
    changed = dataset.events.item_idx.copy()
    held_out = np.arange(len(changed)) >= dataset.train_ends[dataset.events.user_idx]
    changed[held_out] = 0
    other = replace(dataset, events=Sequences(changed, dataset.events.offsets))
    scores = []
    for fitted_on in (dataset, other):
        baseline = make()
        baseline.fit(fitted_on)
        scores.append(baseline.score(dataset.histories("test")))
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("make", [Popularity, ItemKNN, Transitions])
def test_an_empty_history_falls_back_to_popularity(make):
    dataset = random_dataset()
    baseline = make()
    baseline.fit(dataset)
    scores = baseline.score(Sequences(np.zeros(0, np.int32), np.zeros(3, np.int64)))
    np.testing.assert_array_equal(np.argsort(-scores[1], kind="stable"), np.argsort(-dataset.train_counts, kind="stable"))


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (ItemKNN, {"neighbours": 0}),
        (ItemKNN, {"last": -1}),
        (ItemKNN, {"decay": 1.5}),
        (ItemKNN, {"shrinkage": -2.0}),
        (Transitions, {"window": 0}),
        (Transitions, {"gap_decay": 0.0}),
    ],
)
def test_settings_out_of_range_are_told(make, setting):
    with pytest.raises(ConfigError) as error:
        make(**setting)
    ((key, value),) = setting.items()
    assert str(error.value).startswith(f"{key}: ")
    assert str(value) in str(error.value)
