"""Too little memory for a batch of histories: halved once, the same lists; and where half is too much, one line or a 503."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from ledger import Ledger
from small_shop import shop

from genrec.decoding.trie_beam import TrieBeam
from genrec.engine.machine import wrap_os_errors
from genrec.protocols import Decoded, DecodingRequest
from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.recommender.recommender import Recommender
from genrec.recommender.requests import RecommendRequest
from genrec.serving.http_errors import RefusedError, error_response
from genrec.serving.limits import Limits
from genrec.serving.service import Service

HISTORIES = [[f"i{(user * 7 + place) % 30}" for place in range(user % 5)] for user in range(50)]


@contextmanager
def room_for(histories: int, ledger: Ledger) -> Iterator[None]:
    """Memory for so many at once."""
    original = TrieBeam.decode

    def decode(self: TrieBeam, generator: Any, trie: Any, request: DecodingRequest) -> Decoded:
        if len(request.batch) > histories:
            ledger.inject("decoding: out of memory")
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried {len(request.batch)} histories.")
        return original(self, generator, trie, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrieBeam, "decode", decode)
        yield


@pytest.mark.parametrize("batch_size", [50, 128, 33])
def test_halved_once(batch_size: int, ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    recommender = Recommender(shop(30))
    expected = recommender.recommend(HISTORIES, k=5)
    with room_for(30, ledger), caplog.at_level(logging.WARNING):
        found = recommender.recommend(HISTORIES, k=5, batch_size=batch_size)
    assert found.drop("score").equals(expected.drop("score"))
    assert found["score"].to_list() == pytest.approx(expected["score"].to_list(), abs=1e-5)
    assert [record.message for record in caplog.records] == [
        f"out of memory with {min(batch_size, 50)} users at once: going on with {-(-min(batch_size, 50) // 2)}"
    ]


def test_half_is_too_much(ledger: Ledger) -> None:
    recommender = Recommender(shop(30))
    with room_for(10, ledger):
        refusal = ledger.told("half", wrap_os_errors()(lambda: recommender.recommend(HISTORIES, k=5)), "Tried 25 histories")
    assert refusal is not None
    assert "lower" in refusal
    assert recommender.recommend(HISTORIES, k=5).height == 250, "and then it goes on"


def test_a_service_is_sorry_and_goes_on(ledger: Ledger) -> None:
    service = Service(PersistentRecommender(shop(30), Journal(None)), Limits())
    with room_for(10, ledger), pytest.raises(RefusedError) as caught:
        asyncio.run(service.ask(RecommendRequest(histories=HISTORIES, k=5)))
    assert caught.value.status == 503
    assert error_response(caught.value).headers["Retry-After"] == "1"
    assert ledger.told("service", lambda: (_ for _ in ()).throw(caught.value), "memory")
    assert len(asyncio.run(service.ask(RecommendRequest(histories=HISTORIES, k=5)))) == 50
    service.close()
