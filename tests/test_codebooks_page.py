"""What the pages say of semantic IDs: every figure that is known, and no column for those that are not."""

from __future__ import annotations

import numpy as np
from html_pages import parsed
from small_world import random_histories, sequences_of

from genrec.diagnosis.id_health import health
from genrec.reports.run_sections import codebooks_section

CODES = np.random.default_rng(0).integers(0, 4, (60, 2))


def told(html: str) -> list[str]:
    return [text for text in parsed(html).texts if text.strip()]


def test_every_figure_stands_beside_its_chance() -> None:
    vectors = np.random.default_rng(1).normal(size=(60, 3))
    figures = health(
        CODES, (4, 4), space=vectors, labels={"brand": CODES[:, 0]}, train=sequences_of(random_histories(60, [20] * 9))
    )
    resolved = {"unique_rate": 1.0, "unique_rate_before": 0.125, "moved_rate": 0.375}
    texts = told(codebooks_section(figures, resolved))
    first = figures["prefixes"][0]
    assert {"brand left", "next item", "bits added"} <= set(texts)
    assert f"chance {first['brand_entropy_chance']:.2f}" in texts
    assert f"{first['next_item_rate']:.2%}" in texts
    assert any(f"{figures['neighbourhood']['rate']:.1%} are among its nearest by ID (chance: 16.95%)" in text for text in texts)
    assert any("100.0% of the items have an ID of their own, 12.5% before; 37.5% moved" in text for text in texts)
    assert any(f"in {figures['collisions']['groups']} groups of up to {figures['collisions']['largest']}" in t for t in texts)


def test_figures_that_an_earlier_version_did_not_know_leave_no_gap() -> None:
    level = {"size": 4, "usage": 0.5, "perplexity": 2.0, "largest_share": 0.5}
    prefix = {"unique_rate": 0.25, "distinct_rate": 0.5, "largest_group": 7, "relative_error": 0.125}
    texts = told(codebooks_section({"num_items": 8, "levels": [level], "prefixes": [prefix], "collision_rate": 0.5}))
    assert "0.125" in texts
    assert not {"brand left", "bits added", "Gini"} & set(texts)
