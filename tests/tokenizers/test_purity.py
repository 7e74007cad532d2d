"""Purity and neighbourhoods of IDs against slow oracles, and of IDs that know everything or nothing."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from small_world import random_histories, sequences_of

from genrec.diagnosis.id_health import prefix_groups
from genrec.diagnosis.id_neighbours import (
    Preservation,
    collaborative_purity,
    nearest,
    neighbourhood_preservation,
    semantic_purity,
)

RANDOM = np.random.default_rng(0)


def test_semantic_purity_is_the_conditional_entropy():
    codes, labels = RANDOM.integers(0, 3, (60, 2)), RANDOM.integers(-1, 4, 60)
    purity = semantic_purity(prefix_groups(codes), labels).observed
    known = [(tuple(row), label) for row, label in zip(codes.tolist(), labels.tolist(), strict=True) if label >= 0]
    for depth in (1, 2):
        slow = 0.0
        for prefix, label in known:
            group = [other for row, other in known if row[:depth] == prefix[:depth]]
            slow -= math.log2(group.count(label) / len(group)) / len(known)
        assert purity[depth - 1] == pytest.approx(slow)


def test_random_ids_are_as_pure_as_chance():
    figures = semantic_purity(prefix_groups(RANDOM.integers(0, 8, (4000, 2))), RANDOM.integers(0, 10, 4000))
    assert figures.observed == pytest.approx(figures.chance, abs=0.02)
    assert semantic_purity(prefix_groups(np.zeros((3, 1), int)), np.full(3, -1)).observed == (0.0,)


def test_collaborative_purity_counts_steps_between_different_items():
    rows = [*random_histories(12, [5, 1, 0, 9, 2], seed=3), [4, 4, 4]]
    codes = RANDOM.integers(0, 3, (12, 2))
    steps = [(a, b) for row in rows for a, b in pairwise(row) if a != b]
    figures = collaborative_purity(prefix_groups(codes), sequences_of(rows))
    for depth in (1, 2):

        def same(a: int, b: int, depth: int = depth) -> bool:
            return codes[a, :depth].tolist() == codes[b, :depth].tolist()

        assert figures.observed[depth - 1] == pytest.approx(np.mean([same(a, b) for a, b in steps]))
        others = [(a, b) for a, _ in steps for _, b in steps if a != b]
        assert figures.chance[depth - 1] == pytest.approx(np.mean([same(a, b) for a, b in others]))


def test_collaborative_purity_without_steps():
    assert collaborative_purity(prefix_groups(np.zeros((3, 1), int)), sequences_of([[1], [], [2, 2]])).observed == (0.0,)


def test_nearest_is_exact_and_leaves_the_item_out():
    vectors = RANDOM.normal(size=(40, 5))
    cosine = [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in vectors] for a in vectors]
    slow = [[other for other in np.argsort(-np.array(row)) if other != item][:3] for item, row in enumerate(cosine)]
    assert nearest(vectors, 3).tolist() == slow
    assert nearest(vectors, 3, np.array([7])).tolist() == slow[7:8]


@pytest.mark.parametrize("ordered", [True, False])
def test_ties_of_ids_count_by_expectation(ordered):
    codes, vectors, k = RANDOM.integers(0, 2, (14, 3)), RANDOM.normal(size=(14, 3)), 4
    near, drawn = nearest(vectors, k), []
    for _ in range(3000):  # break the ties at random
        noise, item = RANDOM.random(14), RANDOM.integers(14)
        same = codes == codes[item]
        score = (np.logical_and.accumulate(same, axis=1) if ordered else same).sum(axis=1) + noise
        score[item] = -1
        drawn.append(len(set(np.argsort(-score)[:k]) & set(near[item])) / k)
    kept = neighbourhood_preservation(codes, vectors, k=k, ordered=ordered)
    assert kept.rate == pytest.approx(np.mean(drawn), abs=0.02)
    assert kept.chance == pytest.approx(4 / 13)


def test_codes_that_tell_nothing_preserve_as_much_as_chance():
    kept = neighbourhood_preservation(np.zeros((50, 2), int), RANDOM.normal(size=(50, 3)))
    assert kept.rate == pytest.approx(kept.chance)


def test_a_lone_item_keeps_its_neighbourhood():
    assert neighbourhood_preservation(np.zeros((1, 2), int), np.ones((1, 3))) == Preservation(0, 1.0, 1.0)
