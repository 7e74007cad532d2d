import numpy as np
import polars as pl
import pytest

from genrec.statistics import uncertainty as bootstrap
from genrec.statistics.uncertainty import bootstrap_intervals


def test_intervals_agree_with_resampling_user_by_user():
    rng = np.random.default_rng(1)
    values = pl.DataFrame({"hit": rng.random(400) < 0.2, "gain": rng.random(400).round(1)}).cast(pl.Float64)
    matrix = values.to_numpy()
    means = np.array([matrix[rng.integers(0, 400, 400)].mean(axis=0) for _ in range(4000)])
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    found = bootstrap_intervals(values, draws=4000)
    for i, column in enumerate(values.columns):
        assert found[column] == pytest.approx((low[i], high[i]), abs=0.004)  # half-widths are .039 and .031


def test_intervals_depend_on_the_seed_only(monkeypatch):
    values = pl.DataFrame({"x": np.arange(50) % 7 / 7})
    assert bootstrap_intervals(values, seed=3) == bootstrap_intervals(values.reverse(), seed=3)
    assert bootstrap_intervals(values, seed=3) != bootstrap_intervals(values, seed=4)
    whole = bootstrap_intervals(values, seed=3)
    monkeypatch.setattr(bootstrap, "WEIGHTS_AT_ONCE", 200)
    assert bootstrap_intervals(values, seed=3) == whole


def test_equal_users_leave_no_doubt():
    low, high = bootstrap_intervals(pl.DataFrame({"x": [0.25] * 10}))["x"]
    assert low == high == 0.25
