"""What a service does about filters: their price before any pass, answers that are kept, and how many of them."""

from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest

from genrec.errors import ConfigError
from genrec.recommender import item_table as filters_module
from genrec.recommender.filter_language import allowed_items
from genrec.recommender.item_table import Filters

ITEMS = pl.DataFrame({"item_id": [f"i{row}" for row in range(60)], "price": np.arange(60.0), "title": ["a red shoe"] * 60})
LOOKS = " or ".join(f'"z{number}" in title' for number in range(500))


@pytest.mark.parametrize(
    ("texts", "items", "ms"),
    [
        (["price < 3"], 1_000_000, 1.5),
        (["price < 3", "price < 3", "price < 3"], 1_000_000, 1.5),
        (["price < 3"], 60, 0.075),
        ([f"price < {number}" for number in range(20)], 1_000_000, 30),
        (['"shoe" in title'], 1_000_000, 25.5),
        ([LOOKS], 12_000, 630),
        (["price in [1, 2, 3]", "not price is null"], 2_000_000, 13),
    ],
)
def test_the_price_of_several(texts: list[str], items: int, ms: float) -> None:
    table = pl.concat([ITEMS] * (items // 60 + 1)).head(items)
    filters = Filters(table)
    filters.check_cost(texts, ms * 1.1)
    with pytest.raises(
        ConfigError, match=r"filter: expected filters that take about .* ms, got .* tests of .* items; ask for less"
    ):
        filters.check_cost(texts, ms * 0.85)


def test_nothing_is_passed_over_for_a_price() -> None:
    table = pl.concat([ITEMS] * 20_000)
    start = time.process_time()
    with pytest.raises(ConfigError, match="500 tests of 1,200,000 items"):
        Filters(table).check_cost([" or ".join(f'"zq{number}" in title' for number in range(500))], 500)
    assert time.process_time() - start < 1


def test_answers_are_kept_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    real = filters_module.read_filter
    monkeypatch.setattr(filters_module, "read_filter", lambda text, items: reads.append(text) or real(text, items))
    monkeypatch.setattr(filters_module, "MAX_CACHED", 3)
    filters = Filters(ITEMS)
    for text in ("price < 1", "price < 2", "price < 1", "price < 3", "price < 4", "price < 1"):
        assert filters.passing_items(text).tolist() == allowed_items(text, ITEMS).tolist()
        assert len(filters._answers) <= 3
        assert len(filters._read) <= 3
    assert reads == ["price < 1", "price < 2", "price < 3", "price < 4"], "what is asked for again stays"
    with pytest.raises(ValueError, match="read-only"):
        filters.passing_items("price < 1")[0] = False
    monkeypatch.setattr(filters_module, "MAX_CACHED_BYTES", 60)
    filters.passing_items("price < 5")
    assert len(filters._answers) == 1
