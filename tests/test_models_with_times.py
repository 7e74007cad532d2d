"""Models that look at times: lists, explanations and beams, from Python and over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from small_shop import shop, shop_by_times, with_model
from small_world import ArbitraryLogits
from test_service import served

from genrec.core.batch import Batch
from genrec.errors import ConfigError
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.recommender import Recommender

HISTORY, TIMES = ["i3", "gone", "i1"], [5.0, 7.0, 900.5]
KNOWN, KNOWN_TIMES = ["i3", "i1"], [5.0, 900.5]


class LogitsByTimes(ArbitraryLogits):
    """Says different things of a history at other times."""

    needs_times = True

    def prefill(self, batch: Batch) -> Any:
        if batch.times is None:
            raise ConfigError("generator.time_gaps", expected="times with every history", got="none", fix="give times")
        gaps = batch.times.diff(dim=1).abs().sum(dim=1)
        return super().prefill(replace(batch, lengths=batch.lengths, history=(batch.history + gaps.unsqueeze(1) % 7) % 20))


def shop_of_ids_by_times() -> Catalogue:
    catalogue = shop(20)
    assert catalogue.table.sids is not None
    return with_model(catalogue, generator=LogitsByTimes(catalogue.table.sids))


SHOPS = {"scorer": lambda: shop_by_times(9), "ids": shop_of_ids_by_times}


@pytest.mark.parametrize("kind", SHOPS)
def test_explanations(kind: str) -> None:
    catalogue = SHOPS[kind]()
    why = Recommender(catalogue).explain(KNOWN, "i2", times=KNOWN_TIMES)
    assert set(why.because["item_id"]) == set(KNOWN)
    with served(catalogue=catalogue) as client:
        told = client.post("/explain", json={"history": HISTORY, "times": TIMES, "item_id": "i2"}).json()
        assert told["log_prob"] == pytest.approx(why.log_prob, abs=1e-5)
        assert [(row["item_id"], row["weight"]) for row in told["because"]] == [
            (item_id, pytest.approx(weight, abs=1e-5)) for item_id, weight in why.because.rows()
        ]
        assert told["unknown"] == ["gone"]
        another = client.post("/explain", json={"history": HISTORY, "times": [5, 7, 9], "item_id": "i2"}).json()
        assert another["log_prob"] != told["log_prob"]


def test_beams() -> None:
    catalogue = shop_of_ids_by_times()
    expected = Recommender(catalogue).beams(KNOWN, 5, times=KNOWN_TIMES)
    with served(catalogue=catalogue) as client:
        levels = client.post("/beams", json={"history": HISTORY, "times": TIMES, "k": 5}).json()["levels"]
        assert [beam["codes"] for level in levels for beam in level] == expected["codes"].to_list()
        assert client.post("/beams", json={"history": [], "times": [], "k": 5}).status_code == 200
    listed = Recommender(catalogue).recommend(KNOWN, 5, times=KNOWN_TIMES)
    assert listed["item_id"][0] in expected.filter(level=expected["level"].max())["item_id"]


@pytest.mark.parametrize("path", ["/explain", "/beams"])
@pytest.mark.parametrize(
    ("times", "where"),
    [
        ({}, "generator.time_gaps"),
        ({"times": None}, "generator.time_gaps"),
        ({"times": [1, 2]}, "times of history 0"),
        ({"times": [1, 2, 1e40]}, "times of history 0"),
        ({"times": [1, 2, "noon"]}, "times.2"),
        ({"times": 3}, "times"),
    ],
)
def test_times_that_are_none(path: str, times: dict[str, Any], where: str) -> None:
    with served(catalogue=shop_of_ids_by_times()) as client:
        answer = client.post(path, json={"history": HISTORY, **times} | ({"item_id": "i2"} if path == "/explain" else {}))
        assert (answer.status_code, answer.json()["where"]) == (422, where)
