"""What the service refuses: bodies, tokens, and requests while it is busy or stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi.security import HTTPAuthorizationCredentials
from small_shop import shop

from error_cases import Case, Scene
from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.recommender.requests import RecommendRequest
from genrec.serving.app import _admin_check
from genrec.serving.batching import FullError, Promise, TooMuchError
from genrec.serving.http_errors import UNKNOWN_KEY, RefusedError, validation_error
from genrec.serving.limits import Limits
from genrec.serving.middleware import _read_all, read_body
from genrec.serving.service import Service

Trigger = Callable[[Scene], Any]
LIMITS = Limits(body=100, histories=3, timeout=0.02)


def body(content: bytes) -> Trigger:
    return lambda scene: read_body(content, LIMITS)


def received(wait: float = 0.0, size: int = 1) -> Trigger:
    """Reads the body of a client that sends so many bytes after so many seconds."""

    async def receive() -> Any:
        await asyncio.sleep(wait)
        return {"type": "http.request", "body": b"x" * size, "more_body": False}

    async def send(message: Any) -> None:
        pass

    return lambda scene: asyncio.run(_read_all({"headers": []}, receive, LIMITS))


def invalid(**error: Any) -> Trigger:
    """What pydantic says of a body."""

    def trigger(scene: Scene) -> Any:
        raise validation_error([{"loc": ("body", "k"), "msg": "Input should be 1", "input": [7], "type": "x", **error}])

    return trigger


def ask(happens: Callable[[], Any] | None = None, *, closed: bool = False) -> Trigger:
    """Asks a service; ``happens`` instead of the answers of its recommender."""

    def trigger(scene: Scene) -> Any:
        service = Service(PersistentRecommender(shop(40), Journal(None)), LIMITS)
        if happens is not None:
            scene.monkeypatch.setattr(service, "submit", lambda request, weight: happens())
        if closed:
            service.close()
        try:
            return asyncio.run(service.ask(RecommendRequest(histories=[[]])))
        finally:
            service.close()

    return trigger


def fail(error: Exception) -> Callable[[], Any]:
    def happens() -> Any:
        raise error

    return happens


def answer(error: Exception) -> Callable[[], Any]:
    """An answer that is an error."""

    def happens() -> Any:
        promise = Promise()
        promise.set_exception(error)
        return promise

    return happens


CASES = [
    Case("no json", RefusedError, "body, character 2: expected json, got ", body(b"{")),
    Case("latin-1", RefusedError, "body: expected json in UTF-8, got b'\\xe9\"'", body(b'"\xe9"')),
    Case("a number of many digits", RefusedError, "got one of thousands of digits", body(b"9" * 5000)),
    Case("more than can be read", RefusedError, "body: expected at most 20 lists and objects", body(b"[" * 100_000)),
    Case("too many histories", RefusedError, "histories: expected at most 3, got 4", body(b'{"histories": [[], [], [], []]}')),
    Case("half a character", RefusedError, "expected whole characters, got '\\ud800'", body(b'["\\ud800"]')),
    Case("no number", RefusedError, "k: expected a finite number, got nan", body(b'{"k": NaN}')),
    Case("a number beyond 64 bits", RefusedError, "got 9223372036854775808", body(b'{"k": 9223372036854775808}')),
    Case("a large body", RefusedError, "body: expected at most 100 bytes, got more than 100 bytes", received(size=101)),
    Case("a slow client", RefusedError, "body: expected all of it within 0.02 s, got 0 bytes", received(wait=1.0)),
    Case(
        "an unknown key",
        RefusedError,
        "kk: expected a key of this call, got 7; did you mean k?",
        invalid(type=UNKNOWN_KEY, ctx={"key": "kk", "names": ["k"], "got": "7"}),
    ),
    Case("a value of another kind", RefusedError, "k: expected input should be 1, got [7]", invalid()),
    Case("no admin token", RefusedError, "got one without; set GENREC_ADMIN_TOKEN", lambda scene: _admin_check(None)(None)),
    Case(
        "another token",
        RefusedError,
        "got another",
        lambda scene: _admin_check("s3cret")(HTTPAuthorizationCredentials(scheme="Bearer", credentials="x")),
    ),
    Case("a full queue", RefusedError, "got 9 already; retry in 1 s", ask(fail(FullError(9)))),
    Case("a service that stops", RefusedError, "got stopping", ask(closed=True)),
    Case("no answer in time", RefusedError, "expected an answer within 0.02 s, got none", ask(Promise)),
    Case("no memory", RefusedError, "expected memory for it, got too little", ask(answer(MemoryError()))),
    Case("more than the model may take", RefusedError, "got more; ask for fewer", ask(answer(TooMuchError()))),
]
