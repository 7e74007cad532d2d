from __future__ import annotations

import numpy as np
import pytest
from small_world import random_histories, sequences_of

from genrec.diagnosis import id_health as module
from genrec.diagnosis.id_health import health, summary, table, warnings


def test_figures_by_hand() -> None:
    codes = np.array([[0, 0], [0, 1], [1, 1], [1, 1]])
    vectors = np.array([[0.0], [2.0], [4.0], [6.0]])
    figures = health(codes, (2, 4), vectors, lambda prefix: 4.0 * prefix[:, :1] + (1.0 if prefix.shape[1] == 2 else 0.0))
    first, second = figures["levels"]
    assert first == {
        "size": 2,
        "usage": 1.0,
        "dead_codes": 0,
        "perplexity": pytest.approx(2.0),
        "largest_share": 0.5,
        "gini": 0.0,
        "conditional_entropy": pytest.approx(1.0),
    }
    assert second["dead_codes"] == 2
    assert second["gini"] == pytest.approx(0.625)  # counts 1 3 0 0: mean absolute difference over twice the mean
    assert second["conditional_entropy"] == pytest.approx(0.5)  # a bit under prefix 0, none under 1
    assert second["usage"] == 0.5
    assert second["perplexity"] == pytest.approx(np.exp(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75))))
    assert [prefix["unique_rate"] for prefix in figures["prefixes"]] == [0.0, 0.5]
    assert [prefix["distinct_rate"] for prefix in figures["prefixes"]] == [0.5, 0.75]
    assert [prefix["largest_group"] for prefix in figures["prefixes"]] == [2, 2]
    assert [prefix["relative_error"] for prefix in figures["prefixes"]] == [pytest.approx(8 / 20), pytest.approx(4 / 20)]
    assert figures["collision_rate"] == 0.25
    assert figures["collisions"] == {"groups": 1, "items": 2, "largest": 2}
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


def test_gini_and_conditional_entropy_are_their_definitions() -> None:
    codes = np.random.default_rng(0).integers(0, 6, (80, 3)) ** 2 // 6
    for level, figures in enumerate(health(codes, (6, 6, 6))["levels"]):
        counts = np.bincount(codes[:, level], minlength=6)
        assert figures["gini"] == pytest.approx(np.abs(counts[:, None] - counts).mean() / (2 * counts.mean()))
        slow = 0.0
        for row in codes:
            under = codes[(codes[:, :level] == row[:level]).all(axis=1), level]
            slow -= np.log2((under == row[level]).mean()) / len(codes)
        assert figures["conditional_entropy"] == pytest.approx(slow)


def test_everything_that_is_known_is_told_and_summed_up() -> None:
    random = np.random.default_rng(0)
    codes, space = random.integers(0, 4, (60, 2)), random.normal(size=(60, 3))
    figures = health(
        codes,
        (4, 4),
        space=space,
        labels={"brand": random.integers(-1, 3, 60)},
        train=sequences_of(random_histories(60, [20] * 9)),
    )
    assert {"brand_entropy", "brand_entropy_chance", "next_item_rate", "next_item_rate_chance"} <= set(figures["prefixes"][1])
    assert figures["neighbourhood"]["chance"] == pytest.approx(10 / 59)
    told = summary(figures)
    assert told["perplexity"] == pytest.approx([level["perplexity"] for level in figures["levels"]], rel=1e-3)
    assert told["prefixes"]["largest_group"] == [prefix["largest_group"] for prefix in figures["prefixes"]]
    assert told["unique_rate"] == pytest.approx(figures["prefixes"][-1]["unique_rate"], rel=1e-3)
    lines = list(table(figures))
    assert f"{figures['neighbourhood']['rate']:.1%}" in lines[-1]
    assert f"{figures['prefixes'][0]['next_item_rate']:.1%}" in lines[1]


def test_a_large_catalogue_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    vectors = np.array([0.0, 5.0]) + np.sort(random.normal(size=(4000, 1)), axis=0)
    codes = np.stack([np.arange(4000) // 500, np.arange(4000) % 500 // 50], axis=1)
    centres = np.array([[vectors[codes[:, 0] == i].mean(axis=0)] for i in range(8)])[:, 0]
    whole = health(codes, (8, 10), vectors, lambda prefix: centres[prefix[:, 0]], space=vectors)
    monkeypatch.setattr(module, "SAMPLE", 1000)
    looked_at: list[int] = []
    part = health(
        codes, (8, 10), vectors, lambda prefix: (looked_at.append(len(prefix)), centres[prefix[:, 0]])[1], space=vectors
    )
    assert looked_at == [1000, 1000]
    assert part["prefixes"][0]["relative_error"] == pytest.approx(whole["prefixes"][0]["relative_error"], rel=0.2)
    assert part["neighbourhood"]["chance"] == pytest.approx(10 / 999)
