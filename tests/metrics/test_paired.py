"""Paired tests against slow oracles, and their false-positive rates."""

from itertools import product

import numpy as np
import pytest
from benchmarks.null_comparisons import WORLDS, World, false_positives
from scipy import stats

from genrec.statistics import paired
from genrec.statistics.paired import compare, holm, pairwise, randomization_p
from genrec.statistics.uncertainty import Estimate, estimate


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_randomization_agrees_with_every_sign_there_is():
    differences = np.array([0.5, 0.5, -0.3, 0.0, 0.3, 0.2, -0.2, 0.5, 0.0, 0.1, -0.1, 0.5])
    sums = [abs((np.array(signs) * differences).sum()) for signs in product((-1, 1), repeat=len(differences))]
    exact = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9)
    assert randomization_p(differences, draws=100_000) == pytest.approx(exact, abs=0.005)


def test_randomization_agrees_with_drawing_signs_user_by_user(rng):
    differences = np.repeat([0.0, 0.5, -0.5, 0.63, -0.63, 1.0], [400, 30, 25, 20, 15, 5])
    signs = rng.choice([-1.0, 1.0], size=(10_000, len(differences)))
    slow = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-6)
    assert 0.02 < slow < 0.5
    assert randomization_p(differences, draws=40_000) == pytest.approx(slow, abs=0.015)


def test_randomization_needs_few_draws_at_once(rng, monkeypatch):
    differences = rng.normal(size=300)
    whole = randomization_p(differences, draws=500)
    monkeypatch.setattr(paired, "SIGNS_AT_ONCE", 7 * 300)
    assert randomization_p(differences, draws=500) == pytest.approx(whole, abs=0.1)
    assert randomization_p(differences, draws=500) == randomization_p(differences[::-1], draws=500)


def test_nothing_differs(rng):
    same = rng.random((50, 1))
    found = compare(same, same)
    assert (found.difference, found.interval, found.p) == (0.0, (0.0, 0.0), 1.0)
    seeds = rng.random((50, 3))
    found = compare(seeds, seeds)
    assert (found.difference, found.p) == (0.0, 1.0)
    alike = np.repeat(same, 3, axis=1)
    assert compare(alike, alike).p == 1.0


def test_the_smallest_p_is_that_of_the_draws(rng):
    scores = (rng.random((500, 1)) < 0.5).astype(float)
    assert compare(scores, scores * 0, draws=99).p == 0.01


def test_signs_of_a_comparison(rng):
    better, worse = rng.random((400, 1)), rng.random((400, 1)) - 0.2
    found, turned = compare(better, worse), compare(worse, better)
    assert found.difference == pytest.approx(-turned.difference)
    assert found.interval[0] > 0 > turned.interval[1]
    assert found.p == turned.p < 0.05


# --- seeds ------------------------------------------------------------------------------------------------------------------


def test_seeds_that_agree_on_everybody_leave_the_paired_t_test(rng):
    """Each model adds a constant per user and nothing per seed: only users vary."""
    first, second = rng.random((300, 1)), rng.random((300, 1)) + 0.03
    found = estimate(np.repeat(first, 3, axis=1), np.repeat(second, 3, axis=1))
    reference = stats.ttest_rel(first[:, 0], second[:, 0])
    assert found.p == pytest.approx(reference.pvalue)
    assert found.interval(0.95) == pytest.approx(tuple(reference.confidence_interval(0.95)))


def test_users_who_are_alike_leave_students_test_on_the_means(rng):
    """Models move all users by the same, seeds too: only seeds vary."""
    first, second = rng.normal(size=3), rng.normal(size=3) + 1
    user = rng.normal(size=(200, 1))
    found = estimate(user + first, user + second)
    reference = stats.ttest_ind(first, second)
    assert found.freedom == pytest.approx(4)
    assert found.p == pytest.approx(reference.pvalue)
    assert found.interval(0.95) == pytest.approx(tuple(reference.confidence_interval(0.95)))


def test_the_variance_is_right_on_average(rng):
    """Many draws of users and seeds: the mean of the estimated variance is the variance of the estimates."""
    users, found = 100, []
    for _ in range(3000):
        user = rng.normal(size=(users, 1))
        models = [
            user + rng.normal(size=(users, 1)) * 0.7 + rng.normal(size=(1, seeds)) * 0.1 + rng.normal(size=(users, seeds))
            for seeds in (3, 2)
        ]
        found.append(estimate(*models))
    true = 2 * 0.7**2 / users + (0.1**2 + 1 / users) * (1 / 3 + 1 / 2)
    assert np.var([one.value for one in found]) == pytest.approx(true, rel=0.1)
    assert np.mean([one.error**2 for one in found]) == pytest.approx(true, rel=0.05)


def test_a_model_whose_runs_are_the_same_has_no_seed_effect(rng):
    user, seeds = rng.normal(size=(200, 1)), rng.normal(size=3)
    found, reference = estimate(user + seeds, np.repeat(user, 3, axis=1)), stats.ttest_1samp(seeds, 0)
    assert found.freedom == pytest.approx(2)
    assert found.p == pytest.approx(reference.pvalue)
    single = estimate(user + seeds, user)  # one run: taken to vary as the other model does
    assert single.error**2 == pytest.approx(seeds.var(ddof=1) * (1 / 3 + 1))


def test_one_model(rng):
    scores = rng.random((500, 3))
    found = estimate(scores)
    assert found.value == pytest.approx(scores.mean())
    low, high = found.interval(0.95)
    assert low < found.value < high
    assert estimate(scores[:, :1]).error == pytest.approx(scores[:, 0].std(ddof=1) / 500**0.5)


def test_a_detectable_difference_is_detected(rng):
    error, found = 0.01, Estimate(0.0, 0.01, 12.0).detectable(alpha=0.05, power=0.8)
    t = (found + error * rng.standard_normal(100_000)) / (error * np.sqrt(rng.chisquare(12, 100_000) / 12))
    assert np.mean(np.abs(t) > stats.t.ppf(0.975, 12)) == pytest.approx(0.8, abs=0.02)


# --- many models ------------------------------------------------------------------------------------------------------------


def test_holm_agrees_with_its_definition(rng):
    for size in (1, 2, 5, 9):
        p = rng.random(size) ** 3
        for alpha in (0.01, 0.05, 0.3):
            rejected, order = set(), np.argsort(p)
            for step, place in enumerate(order):
                if p[place] > alpha / (size - step):
                    break
                rejected.add(int(place))
            assert {place for place, value in enumerate(holm(list(p))) if value <= alpha} == rejected
    assert holm([]) == []


def test_every_pair_or_each_against_one(rng):
    scores = {name: rng.random((200, 1)) + shift for name, shift in (("a", 0.0), ("b", 0.5), ("c", 0.0))}
    pairs = pairwise(scores, draws=999)
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [pair.significant for pair in pairs] == [True, False, True]
    assert pairs[0].p == pytest.approx(0.003)
    against = pairwise(scores, baseline="b", draws=999)
    assert [(pair.first, pair.second) for pair in against] == [("a", "b"), ("c", "b")]
    assert against[0].p == pytest.approx(0.002)
    assert against[0].detectable < pairs[0].detectable
    assert pairwise({"a": scores["a"]}) == []


# --- equally good models ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [(1, 1), (3, 3)])
def test_equally_good_models_are_rarely_told_apart(runs):
    """A small stand-in for tools/benchmarks/null_comparisons.py: within three standard errors of 5 %."""
    rate = false_positives(World(0.4, 0.3, 0.06 * (runs != (1, 1)), runs, users=500), 600, draws=99)
    assert rate == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 600) ** 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WORLDS if not name.startswith("LIMIT")])
def test_false_positive_rate_at_5_percent(name):
    assert 0.04 <= false_positives(WORLDS[name], 2000) <= 0.06
