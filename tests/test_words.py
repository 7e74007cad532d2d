"""What callers say in words: the grammar of "not", queries that the model hears, and wishes that any text encoder reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from small_shop import SCHEMA, shop, shop_with_words, with_model
from test_service import served

from genrec.decoding.full_ranking import FullRanking
from genrec.decoding.guided import Guided
from genrec.decoding.lib.guidance import guided, with_strength
from genrec.decoding.new_item_quota import NewItemQuota
from genrec.decoding.trie_beam import TrieBeam
from genrec.errors import ConfigError, DataError
from genrec.generators.sasrec import SASRec
from genrec.model.trained import Model
from genrec.recommender.batch_lists import recommend_shards
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.recommender import Recommender
from genrec.recommender.requests import RecommendRequest
from genrec.recommender.words import Wording, read_wording

CATALOGUE = shop_with_words(30)
SHOP = Recommender(CATALOGUE)
UNTRAINED = Recommender(shop_with_words(30, trained=False))


@pytest.mark.parametrize(
    ("text", "asked", "refused"),
    [
        ("shampoo, for dry hair", "shampoo, for dry hair", ""),
        ("shampoo, not perfume", "shampoo", "perfume"),
        ("shampoo not perfume; blue", "shampoo, blue", "perfume"),
        ("NOT perfume, not soap", "", "perfume, soap"),
        ("knots and notes", "knots and notes", ""),
        ('"not your mother\'s" shampoo, not soap', "not your mother's shampoo", "soap"),
        ("soap not red not blue", "soap", "red, blue"),
        ("not", "", ""),
    ],
)
def test_what_follows_not_is_refused_until_the_clause_ends(text: str, asked: str, refused: str) -> None:
    assert read_wording(text) == Wording(asked, refused)


def titles(lists: pl.DataFrame) -> list[str]:
    return CATALOGUE.table.frame.join(lists, on="item_id").sort("rank")["title"].to_list()


def test_a_wish_is_a_cosine_of_texts_for_every_model() -> None:
    wished = UNTRAINED.recommend([[]], 30, wish="red shampoo, not soap", wish_strength=2.0)
    plain = dict(UNTRAINED.recommend([[]], 30).select("item_id", "score").iter_rows())
    items = UNTRAINED.catalogue.vectors["item"]
    assert UNTRAINED.catalogue.texts is not None
    cosines = [
        items @ vector / np.linalg.norm(items, axis=1) / np.linalg.norm(vector)
        for vector in UNTRAINED.catalogue.texts.encode("wish", ["red shampoo", "soap"])
    ]
    expected = 2.0 * (cosines[0] - cosines[1])
    for item_id, score in wished.select("item_id", "score").iter_rows():
        assert score - plain[item_id] == pytest.approx(expected[int(item_id[1:])], abs=1e-4)
    strong = UNTRAINED.recommend([[]], 3, wish="perfume", wish_strength=50)
    assert all(title.endswith("perfume") for title in titles(strong))
    assert not any(title.endswith("soap") for title in titles(UNTRAINED.recommend([[]], 15, wish="not soap", wish_strength=50)))
    assert UNTRAINED.recommend(["i1"], 5, wish="  ").equals(UNTRAINED.recommend(["i1"], 5))


def test_a_query_is_the_vector_that_the_model_hears() -> None:
    batch = CATALOGUE.read(RecommendRequest(histories=[["i1"], []], query=["red soap", None])).sequences
    assert batch.given is not None
    assert CATALOGUE.texts is not None
    assert np.array_equal(batch.given[0], CATALOGUE.texts.encode("query", ["red soap"])[0])
    assert not batch.given[1].any()
    assert batch.refused is None
    plain, asked = SHOP.recommend([["i1"], []], 5), SHOP.recommend([["i1"], []], 5, query=["red soap", None])
    assert not asked.filter(history=0).equals(plain.filter(history=0)), "it is heard"
    assert asked.filter(history=1)["item_id"].equals(plain.filter(history=1)["item_id"])
    assert not SHOP.recommend([[]], 5, query="blue").equals(SHOP.recommend([[]], 5)), "words alone, with an empty history"


def test_guidance_weighs_a_query_and_zero_is_the_list_without() -> None:
    histories = [["i1", "i4"], []]
    plain, asked = SHOP.recommend(histories, 6), SHOP.recommend(histories, 6, query="red soap")
    assert SHOP.recommend(histories, 6, query="red soap", guidance=0).equals(plain)
    assert SHOP.recommend(histories, 6, query="red soap, not blue", guidance=0).equals(plain)
    assert SHOP.recommend(histories, 6, query="red soap", guidance=1).equals(asked)
    assert not SHOP.recommend(histories, 6, query="red soap", guidance=3).equals(asked)
    assert SHOP.recommend(histories, 6, guidance=3).equals(plain), "nothing is asked for"
    strategy = Guided(strategy=TrieBeam(), strength=3.0)
    set_up = Recommender(replace(CATALOGUE, model=replace(CATALOGUE.model, strategy=strategy)))
    assert set_up.recommend(histories, 6, query="soap").equals(SHOP.recommend(histories, 6, query="soap", guidance=3))
    assert set_up.recommend(histories, 6, query="soap", guidance=1).equals(SHOP.recommend(histories, 6, query="soap"))


def test_what_is_refused_is_taken_away() -> None:
    """The logits are u + w (c - u) - w (n - u): asking and refusing the same words is asking for nothing."""
    nothing = SHOP.recommend(["i1"], 6, query="soap, not soap", guidance=2)
    plain = SHOP.recommend(["i1"], 6)
    assert nothing["item_id"].equals(plain["item_id"])
    assert nothing["score"].to_list() == pytest.approx(plain["score"].to_list(), abs=1e-4)
    refusing = SHOP.recommend(["i1"], 6, query="not soap", guidance=2)
    other = SHOP.recommend(["i1"], 6, query="soap", guidance=-2)
    assert refusing["item_id"].equals(other["item_id"])
    assert refusing["score"].to_list() == pytest.approx(other["score"].to_list(), abs=1e-4)


def scorer() -> Catalogue:
    """An item scorer that hears queries, of the same items."""
    catalogue = shop_with_words(30)
    torch.manual_seed(0)
    generator = SASRec(num_items=30, dim=16, num_heads=2, num_layers=1, schema=catalogue.schema).eval()
    for weight in generator.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    model = Model(generator=generator, strategy=FullRanking(), schema=catalogue.schema, vectors=catalogue.vectors)
    return replace(catalogue, model=model)


def test_item_scorers_are_guided_and_wished_of_too() -> None:
    items = Recommender(scorer())
    plain, asked = items.recommend(["i1"], 30), items.recommend(["i1"], 30, query="red")
    by_id = {name: dict(table.select("item_id", "score").iter_rows()) for name, table in (("u", plain), ("c", asked))}
    strong = items.recommend(["i1"], 30, query="red", guidance=2.5)
    for item_id, score in strong.select("item_id", "score").iter_rows():
        shift = score - by_id["u"][item_id] - 2.5 * (by_id["c"][item_id] - by_id["u"][item_id])
        assert shift == pytest.approx(
            strong["score"][0] - 2.5 * by_id["c"][strong["item_id"][0]] + 1.5 * by_id["u"][strong["item_id"][0]], abs=1e-3
        )
    assert titles(items.recommend([[]], 1, wish="perfume", wish_strength=90))[0].endswith("perfume")


def test_strength_reaches_the_guidance_inside_other_strategies() -> None:
    search = TrieBeam()
    inside = NewItemQuota(Guided(strategy=search), vectors=np.eye(3, dtype=np.float32), num_trained=2, share=0.1, reach=0.1)
    changed: Any = with_strength(inside, 4.0)
    assert (changed.strategy.strength, inside.strategy.strength, changed.strategy.strategy) == (4.0, 1.5, search)
    assert with_strength(inside, None) is inside
    with pytest.raises(ConfigError, match="guidance: expected a generator that writes IDs"):
        guided(replace_generator(), 2.0)


def replace_generator() -> Any:
    class Other:
        needs: frozenset[str] = frozenset()

    return Other()


def test_http_answers_as_python_does() -> None:
    said = {"query": "red soap, not perfume", "guidance": 2.0, "wish": "blue", "wish_strength": 3.0}
    expected, levels = SHOP.recommend([["i1"], []], 5, **said), SHOP.beams(["i1"], 5, **said)
    why = SHOP.explain(["i1"], "i7", query="red soap")
    with served(catalogue=CATALOGUE) as client:
        lists = client.post("/recommend", json={"histories": [["i1"], []], "k": 5, **said}).json()["lists"]
        listed = [item for one in lists for item in one["items"]]
        assert [item["item_id"] for item in listed] == expected["item_id"].to_list()
        assert [item["score"] for item in listed] == pytest.approx(expected["score"].to_list(), abs=1e-4)
        searched = client.post("/beams", json={"history": ["i1"], "k": 5, **said}).json()["levels"]
        assert [beam["codes"] for level in searched for beam in level] == levels["codes"].to_list()
        explained = client.post("/explain", json={"history": ["i1"], "item_id": "i7", "query": "red soap"}).json()
        assert explained["log_prob"] == pytest.approx(why.log_prob, abs=1e-5)
        too_long = client.post("/recommend", json={"histories": [[]], "query": "soap " * 300})
        assert (too_long.status_code, too_long.json()["where"]) == (422, "query")
    assert why.log_prob == pytest.approx(SHOP.score(["i1"], ["i7"], query="red soap")["score"][0], abs=1e-5)


def test_batch_lists_ask_in_words(tmp_path: Path) -> None:
    table = pl.DataFrame({"user_id": ["a", "b"], "item_id": ["i1", "i2"]})
    table.write_parquet(tmp_path / "events.parquet")
    settings = RecommendRequest(histories=[[]], k=4, query="red soap", wish="blue")
    plan = recommend_shards(
        CATALOGUE, tmp_path / "events.parquet", tmp_path / "out", settings, bundle="b", log=lambda line: None
    )
    assert (plan["query"], plan["wish"], "guidance" in plan) == ("red soap", "blue", False)
    lists = pl.read_parquet(tmp_path / "out" / "part-00000.parquet").sort("user_id", "rank")
    expected = SHOP.recommend(table, 4, query="red soap", wish="blue").sort("user_id", "rank")
    assert lists["item_id"].to_list() == expected["item_id"].to_list()


def test_packages_that_cannot_hear_words_say_so() -> None:
    silent = Recommender(shop(12))
    with pytest.raises(ConfigError, match=r"wish: expected a package with a text encoder.*export.words=true"):
        silent.recommend([[]], wish="soap")
    for recommender in (silent, UNTRAINED):
        with pytest.raises(ConfigError, match="query: expected a package that was trained with texts"):
            recommender.recommend([[]], query="soap")
        with pytest.raises(ConfigError, match="guidance: expected a package that hears"):
            recommender.recommend([[]], guidance=2)
    with pytest.raises(ConfigError, match="query: expected a package with a text encoder"):
        Recommender(replace(CATALOGUE, texts=None)).recommend([[]], query="soap")
    with pytest.raises(DataError, match="query: expected texts for 1 histories, got 2"):
        SHOP.recommend([[]], query=["soap", None])
    other = replace(CATALOGUE, model=replace(with_model(CATALOGUE).model, schema=SCHEMA.with_text(3)))
    with pytest.raises(ConfigError, match="query: expected texts as vectors of 3"):
        Recommender(other).recommend([[]], query="soap")
