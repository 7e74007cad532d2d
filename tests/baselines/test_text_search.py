"""Search in texts: both weightings by their formulas, and that an evaluation gives it the words before each target."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_evaluation import evaluated, metrics_of, recommended, walks

from genrec.baselines.text_search import TextSearch
from genrec.core.dataset import Dataset
from genrec.model.event_texts import texts_after

TEXTS = ["red lamp", "Red red desk", "blue lamp for a desk", None]
SEARCH = {
    name: {"_target_": "genrec.baselines.text_search.TextSearch", "columns": ["title"], "weighting": name}
    for name in ("tfidf", "bm25")
}


def shop() -> Dataset:
    """Four items, of which the last is the most popular."""
    dataset = walks(users=6, items=4)
    counts = np.where(np.arange(len(dataset.events.item_idx)) % 3, 3, dataset.events.item_idx).astype(np.int32)
    items = pl.DataFrame({"item_id": ["a", "b", "c", "d"], "title": TEXTS, "price": [1.0, 2.0, 3.0, 4.0]})
    return replace(dataset, items=items, events=replace(dataset.events, item_idx=counts))


def test_bm25_is_its_formula() -> None:
    search = TextSearch(k1=1.5, b=0.5)
    search.fit(shop())
    scores = search.search(["red desk", "desk", "unheard", ""])
    lengths, number = np.array([2, 3, 5, 0]), 4

    def part(tf: int, item: int, with_word: int) -> float:
        rarity = math.log(1 + (number - with_word + 0.5) / (with_word + 0.5))
        return rarity * tf * 2.5 / (tf + 1.5 * (0.5 + 0.5 * lengths[item] / lengths.mean()))

    expected = [part(1, 0, 2), part(2, 1, 2) + part(1, 1, 2), part(1, 2, 2), 0.0]
    np.testing.assert_allclose(scores[0], expected, atol=1e-6)
    np.testing.assert_allclose(scores[1], [0.0, part(1, 1, 2), part(1, 2, 2), 0.0], atol=1e-6)
    assert (scores[2] == scores[3]).all()
    assert scores[3].argmax() == 3, "by popularity where nothing is asked for"


def test_tfidf_is_a_cosine() -> None:
    search = TextSearch(weighting="tfidf")
    search.fit(shop())
    scores = search.search(["red lamp", "lamp"])
    assert scores[0, 0] == pytest.approx(1.0, abs=1e-6)
    idf = {word: math.log(5 / (1 + count)) + 1 for word, count in {"lamp": 2, "blue": 1, "for": 1, "a": 1, "desk": 2}.items()}
    assert scores[1, 2] == pytest.approx(idf["lamp"] / math.hypot(*idf.values()), abs=1e-6)


def test_items_without_words_are_no_catalogue_to_search() -> None:
    silent = replace(shop(), items=shop().items.with_columns(title=pl.lit("")))
    assert TextSearch().obstacle(silent) == "the items have no text"
    assert TextSearch().obstacle(shop()) is None


def test_an_evaluation_searches_for_the_text_before_each_target(tmp_path: Path) -> None:
    dataset = walks(users=30)
    items = dataset.items.with_columns(title=pl.format("word{}", pl.int_range(pl.len())))
    texts = [f"word{item}" if row % 2 else None for row, item in enumerate(dataset.events.item_idx)]
    dataset = replace(dataset, items=items, event_texts=pl.Series(texts, dtype=pl.String))
    asked = [bool(text) for text in texts_after(dataset, "test")]
    assert 0 < sum(asked) < 30
    table, request = recommended(dataset), {"text": "target"}
    metrics = metrics_of(evaluated(tmp_path / "asked", dataset, table, baselines=SEARCH, request=request))
    for name in SEARCH:
        assert metrics["baselines"][name]["test/recall@1"] >= sum(asked) / 30, "each word names its item"
    metrics = metrics_of(evaluated(tmp_path / "silent", dataset, recommended(dataset), baselines=SEARCH))
    assert metrics["baselines"] == {}
    assert metrics["left_out"]["bm25"] == "the lists do not ask for a text"
