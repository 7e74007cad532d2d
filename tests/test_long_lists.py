"""Lists longer than the beams a strategy was set up with: in Python, over HTTP and for tables; short ones stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from small_shop import shop, with_model
from test_service import served

from genrec.decoding.best_first import BestFirst
from genrec.decoding.diverse_trie_beam import DiverseTrieBeam
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.lib.batch_decoding import widened
from genrec.decoding.new_item_quota import NewItemQuota
from genrec.decoding.parallel_graph import ParallelGraph
from genrec.decoding.trie_beam import TrieBeam
from genrec.recommender.batch_lists import EMPTY_REQUEST, recommend_shards
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.recommender import Recommender
from genrec.serving.limits import Limits

ITEMS = 700
HISTORIES = [["i1", "i2"], [], ["i3"] * 4]
VECTORS = np.random.default_rng(0).standard_normal((ITEMS, 6)).astype(np.float32)
STRATEGIES: dict[str, Callable[[], Any]] = {
    "trie_beam": lambda: TrieBeam(num_beams=20),
    "diverse_trie_beam": lambda: DiverseTrieBeam(num_beams=20, per_prefix=ITEMS),
    "best_first": lambda: BestFirst(num_beams=20),
    "exhaustive": Exhaustive,
    "new_item_quota": lambda: NewItemQuota(TrieBeam(num_beams=20), vectors=VECTORS, num_trained=600, share=0.1, reach=0.05),
}


@pytest.fixture(scope="module")
def big() -> Catalogue:
    return shop(ITEMS, sizes=(8, 10, 12))


@pytest.mark.parametrize("k", [21, 500, 1000])
@pytest.mark.parametrize("name", STRATEGIES)
def test_as_many_items_as_wanted(big: Catalogue, name: str, k: int) -> None:
    recommender = Recommender(with_model(big, strategy=STRATEGIES[name]()))
    recommender.remove_items(["i5"])
    answer = recommender.recommend(HISTORIES, k, quota={"even": 400})
    for place, history in enumerate(HISTORIES):
        listed = answer.filter(history=place)["item_id"].to_list()
        assert len(listed) == min(k, ITEMS - 1 - len(set(history)))
        assert len(set(listed)) == len(listed)
        assert not {*history, "i5"} & set(listed)
    assert recommender.recommend(HISTORIES, k)["score"].is_finite().all()


def test_the_best_are_the_best(big: Catalogue) -> None:
    """With as many beams as there are prefixes nothing is lost."""
    exact = Recommender(with_model(big, strategy=Exhaustive())).recommend(HISTORIES, 650)
    long_lists = Recommender(with_model(big, strategy=TrieBeam(num_beams=20))).recommend(HISTORIES, 650)
    for place in range(3):
        ours, theirs = (table.filter(history=place)["score"].to_numpy() for table in (long_lists, exact))
        np.testing.assert_allclose(ours[:500], theirs[:500], atol=1e-4)


@pytest.mark.parametrize("name", STRATEGIES)
def test_short_lists_are_decoded_by_the_very_strategy(big: Catalogue, name: str) -> None:
    strategy = STRATEGIES[name]()
    assert widened(strategy, 20) is strategy
    assert (widened(strategy, 21) is strategy) == (name == "exhaustive")


def test_a_graph_is_built_once() -> None:
    strategy = ParallelGraph(num_beams=20)
    wide = widened(strategy, 30)
    assert (wide.num_beams, strategy.num_beams) == (30, 20)
    assert wide._graphs is strategy._graphs


def test_over_http_up_to_the_limits(big: Catalogue) -> None:
    with served(Limits(), catalogue=with_model(big, strategy=TrieBeam(num_beams=20))) as client:

        def asked(path: str, **body: Any) -> tuple[int, Any]:
            answer = client.post(path, json=body)
            return answer.status_code, answer.json()

        status, answer = asked("/recommend", histories=HISTORIES, k=650)
        assert (status, [len(one["items"]) for one in answer["lists"]]) == (200, [650] * 3)
        assert asked("/beams", history=["i1"], k=300)[0] == 200
        for wrong, where, got in (
            ({"histories": [[]], "k": 1001}, "k", "1001"),
            ({"histories": [[]] * 7, "k": 1000}, "k times histories", "7000"),
        ):
            status, answer = asked("/recommend", **wrong)
            assert (status, answer["where"], answer["got"]) == (422, where, got)


def test_for_tables(big: Catalogue, tmp_path: Path) -> None:
    pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["i1", "i2", "i3"]}).write_parquet(tmp_path / "h.parquet")
    catalogue = with_model(big, strategy=TrieBeam(num_beams=20))
    recommend_shards(
        catalogue, tmp_path / "h.parquet", tmp_path / "out", replace(EMPTY_REQUEST, k=500), bundle="b", log=lambda line: None
    )
    lists = pl.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert lists.group_by("user_id").len().sort("user_id").rows() == [("a", 500), ("b", 500)]


def test_beams_of_long_lists(big: Catalogue) -> None:
    levels = Recommender(with_model(big, strategy=TrieBeam(num_beams=20))).beams(["i1"], 200).group_by("level").len()
    assert levels["len"].max() == 200
