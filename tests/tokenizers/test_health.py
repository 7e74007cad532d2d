from __future__ import annotations

import numpy as np
import pytest

from genrec.tokenizers.health import health, table, warnings


def test_figures_by_hand() -> None:
    codes = np.array([[0, 0], [0, 1], [1, 1], [1, 1]])
    vectors = np.array([[0.0], [2.0], [4.0], [6.0]])
    figures = health(codes, (2, 4), vectors, lambda prefix: 4.0 * prefix[:, :1] + (1.0 if prefix.shape[1] == 2 else 0.0))
    first, second = figures["levels"]
    assert first == {"size": 2, "usage": 1.0, "perplexity": pytest.approx(2.0), "largest_share": 0.5}
    assert second["usage"] == 0.5
    assert second["perplexity"] == pytest.approx(np.exp(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75))))
    assert [prefix["unique_rate"] for prefix in figures["prefixes"]] == [0.0, 0.5]
    assert [prefix["distinct_rate"] for prefix in figures["prefixes"]] == [0.5, 0.75]
    assert [prefix["largest_group"] for prefix in figures["prefixes"]] == [2, 2]
    assert [prefix["relative_error"] for prefix in figures["prefixes"]] == [pytest.approx(8 / 20), pytest.approx(4 / 20)]
    assert figures["collision_rate"] == 0.25
    assert len(list(table(figures))) == 3


def test_uneven_level_is_warned_about_and_small_catalogues_are_not() -> None:
    codes = np.stack([np.arange(100), np.arange(100) // 50], axis=1)
    told = list(warnings(health(codes, (256, 8), None, None)))
    assert len(told) == 1
    assert "level 1" in told[0]
    assert "2.0" in told[0]
    assert "of 8" in told[0]


def test_constant_vectors_have_no_error_left() -> None:
    figures = health(np.zeros((3, 1), int), (2,), np.ones((3, 2)), lambda codes: np.ones((len(codes), 2)))
    assert figures["prefixes"][0]["relative_error"] == 0.0
