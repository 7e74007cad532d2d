"""The graph heuristic against its definition, written as loops; and lots that are drawn fairly."""

import itertools

import numpy as np
import pytest
from test_baseline_scores import random_dataset

from genrec.baselines.graph import TGH_1, TGH_2, GraphHeuristic, hops_from, transition_graph
from genrec.baselines.random import Random
from genrec.core.dataset import Sequences


def successors(dataset):
    counts = np.zeros((dataset.num_items, dataset.num_items))
    for user in range(dataset.num_users):
        row = dataset.train[user]
        for a, b in itertools.pairwise(row):
            counts[a, b] += a != b
    return counts


def rings_of(counts, item, depth):
    rings = [{item}]
    for _ in range(depth):
        rings.append({b for a in rings[-1] for b in np.flatnonzero(counts[a])} - set().union(*rings))
    return rings[1:]


def listed(dataset, history, budgets, vectors, weight=0.5):
    """Ring after ring, shortages first from earlier rings, then what is left, then popularity."""
    counts, popular = successors(dataset), dataset.train_counts
    chosen, overflow = [], []
    for rings, source in zip(budgets, history[::-1], strict=False):
        for hop, (budget, ring) in enumerate(zip(rings, rings_of(counts, source, len(rings)), strict=True), start=1):
            logs = np.log1p(counts[source])
            share = weight * logs / max(logs.max(), 0.1) if hop == 1 else np.zeros(dataset.num_items)
            score = vectors @ vectors[source] + share + 1e-9 * popular / popular.max()
            ranked = sorted(ring, key=lambda item: (-score[item], item))
            fresh = [item for item in ranked if item not in chosen][:budget]
            chosen += fresh
            chosen += [item for item in overflow if item not in chosen][: budget - len(fresh)]
            overflow += [item for item in ranked if item not in overflow]
    for item in overflow:
        if item not in chosen:
            chosen.append(item)
    return chosen + sorted(set(range(dataset.num_items)) - set(chosen), key=lambda item: (-popular[item], item))


@pytest.mark.parametrize("budgets", [TGH_1, TGH_2, ((2, 3), (1, 1, 1), (4,))])
@pytest.mark.parametrize("content", [True, False])
def test_the_graph_heuristic_equals_the_loop(budgets, content, monkeypatch):
    monkeypatch.setattr("genrec.baselines.graph.ROWS_AT_ONCE", 7)
    dataset = random_dataset(users=25, items=40)
    vectors = np.random.default_rng(0).standard_normal((40, 6)) if content else np.zeros((40, 6))
    baseline = GraphHeuristic(budgets=budgets, item_vectors=vectors if content else None)
    baseline.fit(dataset)
    histories = dataset.histories("test")
    scores = baseline.score(histories)
    for user in range(dataset.num_users):
        expected = listed(dataset, histories[user], budgets, vectors)
        assert np.argsort(-scores[user], kind="stable").tolist() == expected


def test_hops_are_shortest_paths():
    dataset = random_dataset(users=10, items=30)
    counts = successors(dataset)
    hops = hops_from(transition_graph(dataset), np.arange(30), 3)
    for item in range(30):
        expected = np.full(30, -1)
        for hop, ring in enumerate([{item}, *rings_of(counts, item, 3)]):
            expected[list(ring)] = hop
        np.testing.assert_array_equal(hops[item], expected)


@pytest.mark.parametrize("make", [GraphHeuristic, Random])
def test_a_users_scores_do_not_depend_on_the_others(make):
    dataset = random_dataset()
    baseline = make()
    baseline.fit(dataset)
    histories = dataset.histories("test")
    together = baseline.score(histories)
    for user in (0, 7, dataset.num_users - 1):
        row = histories[user]
        np.testing.assert_array_equal(baseline.score(Sequences(row, np.array([0, len(row)])))[0], together[user])


def test_an_empty_history_gets_popular_items():
    dataset = random_dataset()
    baseline = GraphHeuristic()
    baseline.fit(dataset)
    scores = baseline.score(Sequences(np.zeros(0, np.int32), np.zeros(3, np.int64)))
    np.testing.assert_array_equal(np.argsort(-scores[1], kind="stable"), np.argsort(-dataset.train_counts, kind="stable"))


def test_lots_are_uniform_and_follow_the_seed():
    dataset = random_dataset(users=400, items=200)
    histories = dataset.histories("test")
    scores = []
    for seed in (0, 0, 1):
        baseline = Random(seed=seed)
        baseline.fit(dataset)
        scores.append(baseline.score(histories))
    np.testing.assert_array_equal(scores[0], scores[1])
    assert (scores[0] != scores[2]).mean() > 0.99
    assert ((scores[0] >= 0) & (scores[0] < 1)).all()
    share = np.histogram(scores[0], bins=20, range=(0, 1))[0] / scores[0].size
    np.testing.assert_allclose(share, 0.05, atol=0.003)
    first = np.bincount(scores[0].argmax(axis=1), minlength=200)  # who is on top: everybody about twice in 400
    assert first.max() <= 11
    assert abs(np.corrcoef(scores[0][:50])[np.triu_indices(50, 1)]).mean() < 0.12
