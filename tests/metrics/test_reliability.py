import numpy as np
import pytest

from genrec.statistics.reliability import reliability, wilson_interval


def forecasts(num=200_000, seed=0):
    """Probabilities as a recommender's are, mostly small, and what came of them."""
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(0.5, 8, num)
    return probabilities, rng.random(num) < probabilities


def test_an_honest_forecaster_has_no_error():
    probabilities, came_true = forecasts()
    made = reliability(probabilities, came_true, bins=10)
    assert made.error < 0.002
    low, high = wilson_interval(made.observed, made.count)
    assert ((low <= made.predicted) & (made.predicted <= high)).mean() >= 0.8
    assert made.count.sum() == len(probabilities)
    assert (np.diff(made.predicted) > 0).all()


def test_one_who_is_too_sure_has_one():
    probabilities, came_true = forecasts()
    sure = reliability(np.minimum(1.5 * probabilities, 1), came_true, bins=10)
    modest = reliability(probabilities / 2, came_true, bins=10)
    assert sure.error == pytest.approx(probabilities.mean() / 2, rel=0.05)
    assert modest.error == pytest.approx(probabilities.mean() / 2, rel=0.05)
    assert (sure.predicted > sure.observed)[1:].all()
    assert (modest.predicted < modest.observed)[1:].all()


def test_bins_of_equal_size_by_hand():
    made = reliability(np.array([0.9, 0.1, 0.2, 0.3, 0.8]), np.array([True, False, True, False, False]), bins=2)
    assert made.count.tolist() == [3, 2]
    assert made.predicted.tolist() == pytest.approx([0.2, 0.85])
    assert made.observed.tolist() == pytest.approx([1 / 3, 1 / 2])
    assert made.error == pytest.approx((3 * (1 / 3 - 0.2) + 2 * 0.35) / 5)


def test_few_and_no_predictions():
    assert reliability(np.array([0.5]), np.array([True]), bins=10).count.tolist() == [1]
    nothing = reliability(np.array([]), np.array([], dtype=bool), bins=10)
    assert nothing.error == 0
    assert len(nothing.count) == 0


def test_intervals_cover_what_they_promise():
    rng = np.random.default_rng(1)
    for share in (0.01, 0.2, 0.5):
        observed = rng.binomial(500, share, 4000) / 500
        low, high = wilson_interval(observed, np.full(4000, 500))
        assert 0.93 < ((low <= share) & (share <= high)).mean() < 0.98
