"""Baselines in closed form: EASE against the constrained problem solved column by column, the text map against sklearn."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from genrec.baselines.ease import EASE
from genrec.baselines.linear_text import LinearText
from tests.baselines.test_baseline_scores import random_dataset, tie_break


@pytest.mark.parametrize(("ridge", "decay"), [(1.0, 1.0), (100.0, 1.0), (5.0, 0.5)])
@pytest.mark.parametrize("seed", [0, 1])
def test_ease_is_ridge_regression_of_every_item_on_the_others(ridge, decay, seed):
    dataset = random_dataset(seed=seed)
    owned = np.zeros((dataset.num_users, dataset.num_items))
    owned[dataset.train.user_idx, dataset.train.item_idx] = 1.0
    weights = np.zeros((dataset.num_items, dataset.num_items))
    for item in range(dataset.num_items):  # its weight for itself is 0: it takes no part
        others = np.delete(np.arange(dataset.num_items), item)
        weights[others, item] = Ridge(alpha=ridge, fit_intercept=False).fit(owned[:, others], owned[:, item]).coef_
    histories = dataset.histories("test")
    expected = [sum(decay**m * weights[item] for m, item in enumerate(histories[user][::-1])) for user in range(len(histories))]
    baseline = EASE(ridge=ridge, decay=decay)
    baseline.fit(dataset)
    np.testing.assert_allclose(baseline.score(histories), np.array(expected) + tie_break(dataset), atol=1e-9)


def test_ease_says_that_a_catalogue_is_too_large():
    dataset = random_dataset(items=12)
    assert EASE(max_items=12).obstacle(dataset) is None
    assert EASE(max_items=11).obstacle(dataset) == "the catalogue has 12 items, more than max_items = 11"


@pytest.mark.parametrize(("ridge", "decay", "last"), [(1.0, 0.4, 20), (100.0, 0.8, 20), (0.1, 1.0, 2)])
@pytest.mark.parametrize("chunk", [100_000, 7])
def test_the_text_map_is_sklearns_ridge(ridge, decay, last, chunk, monkeypatch):
    monkeypatch.setattr("genrec.baselines.linear_text.EVENTS_AT_ONCE", chunk)
    dataset = random_dataset()
    vectors = np.random.default_rng(1).normal(size=(dataset.num_items, 4)) + 3.0
    baseline = LinearText(text_vectors=vectors, ridge=ridge, decay=decay, last=last)
    baseline.fit(dataset)
    centred = vectors - vectors.mean(axis=0)
    white = centred @ np.linalg.inv(np.linalg.cholesky(np.cov(centred.T, bias=True))).T
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(4), atol=1e-9)
    # Whitenings differ by a rotation, and rotations change no ridge regression.
    unit = white / np.linalg.norm(white, axis=1, keepdims=True)

    def context(history):
        recent = history[::-1][:last]
        weights = decay ** np.arange(len(recent))
        return weights @ unit[recent] / weights.sum()

    rows = [dataset.train[user] for user in range(dataset.num_users)]
    pairs = [(context(row[:t]), unit[row[t]]) for row in rows for t in range(1, len(row))]
    oracle = Ridge(alpha=ridge).fit(*(np.array(side) for side in zip(*pairs, strict=True)))
    histories = dataset.histories("test")
    contexts = np.array([context(histories[user]) for user in range(len(histories))])
    expected = oracle.predict(contexts) @ unit.T
    np.testing.assert_allclose(baseline.score(histories), expected + tie_break(dataset), atol=2e-5)


def test_other_settings_equal_a_new_baseline():
    dataset = random_dataset()
    vectors = np.random.default_rng(1).normal(size=(dataset.num_items, 4))
    for first, changes in (
        (EASE(ridge=None, decay=None), {"ridge": 20.0}),
        (EASE(ridge=None, decay=None), {"decay": 0.5}),
        (LinearText(text_vectors=vectors, ridge=None, decay=None), {"ridge": 100.0}),
        (LinearText(text_vectors=vectors, ridge=None, decay=None), {"decay": 0.8}),
    ):
        first.fit(dataset)
        given = {"text_vectors": vectors} if isinstance(first, LinearText) else {}
        anew = type(first)(**first.settings | changes | given)
        anew.fit(dataset)
        histories = dataset.histories("test")
        np.testing.assert_allclose(first.with_settings(**changes).score(histories), anew.score(histories), atol=1e-12)
