"""Bodies of strangers: refused at the first thing that is wrong, in milliseconds, beside the event loop."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_shop import shop
from starlette.testclient import TestClient

from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.serving.app import create_app
from genrec.serving.http_errors import RefusedError, short_repr
from genrec.serving.limits import Limits
from genrec.serving.middleware import DEEPEST, read_body
from genrec.serving.service import Service

TOKEN = {"Authorization": "Bearer s3cret"}
LIMITS = Limits()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(
        create_app(Service(PersistentRecommender(shop(40), Journal(None)), LIMITS), Path("bundle"), token="s3cret")
    ) as client:
        yield client


LARGE = {
    "numbers for histories": '{"histories": [' + "1," * 490_000 + "1]}",
    "numbers in a history": '{"histories": [[' + "1," * 490_000 + "1]]}",
    "as many wrong ids as may be": json.dumps({"histories": [[1] * 1000] * 64}),
    "as many ids as may be": json.dumps({"histories": [["i1"] * 1000] * 64, "k": 0}),
    "lists in lists": '{"histories": ' + "[" * 400_000 + "]" * 400_000 + "}",
    "many preferences": json.dumps({"histories": [[]], "steer": {f"even == true and {row}": "x" for row in range(25_000)}}),
    "many quotas": json.dumps({"histories": [[]], "quota": {f"c{row}": "x" for row in range(60_000)}}),
    "many keys": json.dumps({f"k{row}": row for row in range(60_000)}),
    "one long text": json.dumps({"histories": ["x" * 900_000]}),
    "one long key": json.dumps({"x" * 900_000: 1}),
    "times": '{"histories": [[]], "times": [[' + '"x",' * 200_000 + "1]]}",
    "half characters": '{"histories": [["' + "\\ud83d" * 160_000 + '"]]}',
    "long numbers": '{"histories": [[' + ",".join(["9" * 4000] * 240) + "]]}",
    "objects": '{"histories": [[' + ",".join(['{"a":{}}'] * 100_000) + "]]}",
    "a list at the top": "[" + "1," * 400_000 + "1]",
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_body_is_refused_at_once(client: TestClient, name: str) -> None:
    body = LARGE[name].encode()
    assert len(body) <= LIMITS.body
    costs = []
    for _ in range(3):  # the least: what else the process cleans up meanwhile is not the body's
        start = time.process_time()
        answer = client.post("/recommend", content=body, headers={"Content-Type": "application/json"})
        costs.append(time.process_time() - start)
    assert answer.status_code in (400, 422), answer.text[:300]
    assert all(0 < len(word) <= 500 for word in answer.json().values())
    assert min(costs) < 0.5, "490,000 errors took 4 to 5 s"


def test_the_loop_goes_on_meanwhile() -> None:
    """Nothing holds it for as long as a tenth of a second."""
    app, gaps = create_app(Service(PersistentRecommender(shop(40), Journal(None)), LIMITS), Path("bundle")), []

    async def ask(body: bytes) -> int:
        sent: list[dict[str, Any]] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return waiting.pop() if waiting else await asyncio.sleep(3600)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/recommend", "query_string": b"", "root_path": ""}
        await app({**scope, "headers": [(b"content-type", b"application/json")]}, receive, send)
        return int(sent[0]["status"])

    async def beat() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.002)
            gaps.append(time.perf_counter() - start)

    async def both() -> None:
        beating = asyncio.ensure_future(beat())
        await asyncio.sleep(0.05)
        for body in LARGE.values():
            assert await ask(body.encode()) in (400, 422)
        beating.cancel()

    asyncio.run(both())
    assert sorted(gaps)[-2] < 0.1, "one pause may be the machine's"


NUMBERS = ["9223372036854775808", "18446744073709551616", "-9223372036854775809", "1" + "0" * 400, "1e999", "-1e999", "NaN"]
FIELDS = {
    "k": ("/recommend", '{"histories": [[]], "k": %s}'),
    "quota": ("/recommend", '{"histories": [[]], "quota": {"even": %s}}'),
    "steer": ("/recommend", '{"histories": [[]], "steer": {"even == true": %s}}'),
    "times": ("/recommend", '{"histories": [["i1"]], "times": [[%s]]}'),
    "an id": ("/recommend", '{"histories": [[%s]]}'),
    "k of similar": ("/similar", '{"item_id": "i1", "k": %s}'),
    "last": ("/explain", '{"history": ["i1"], "item_id": "i2", "last": %s}'),
    "k of beams": ("/beams", '{"history": ["i1"], "k": %s}'),
    "content": ("/items", '{"items": [{"item_id": "new", "even": %s}]}'),
    "content of content": ("/items", '{"items": [{"item_id": "new", "even": [{"x": [%s]}]}]}'),
    "unknown": ("/recommend", '{"histories": [[]], "unknown": %s}'),
}


@pytest.mark.parametrize("field", FIELDS)
def test_numbers_beyond_64_bits(client: TestClient, field: str) -> None:
    path, body = FIELDS[field]
    for number in NUMBERS:
        content = (body % number).encode()
        answer = client.post(path, content=content, headers={"Content-Type": "application/json", **TOKEN})
        assert answer.status_code == 422, (number, answer.text)
        shown_number = answer.json()["got"].strip("[]")
        assert shown_number[:20] in number or shown_number in ("inf", "-inf", "nan"), (number, answer.text)


@pytest.mark.parametrize("query", ["limit=9223372036854775808", "limit=1e999", "limit=-1", "offset=" + "9" * 400, "limit=nan"])
def test_numbers_of_queries(client: TestClient, query: str) -> None:
    answer = client.get(f"/items?{query}")
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    ("path", "body", "where", "got", "fix"),
    [
        ("/recommend", {"history": [["i1"]]}, "history", "[['i1']]", "did you mean histories?"),
        ("/recommend", {"histories": [[]], "filters": "x"}, "filters", "'x'", "did you mean filter?"),
        ("/recommend", {"histories": [[]], "exclude": True}, "exclude", "True", "did you mean exclude_seen?"),
        ("/similar", {"item": "i1"}, "item", "'i1'", "did you mean item_id?"),
        ("/explain", {"histories": [], "item_id": "i1"}, "histories", "[]", "did you mean history?"),
        (
            "/beams",
            {"history": [], "K": 3},
            "K",
            "3",
            "known: exclude_seen, filter, guidance, history, k, query, request, steer, times, user, wish, wish_strength",
        ),
        ("/items", {"item": [{}]}, "item", "[{}]", "did you mean items?"),
        ("/similar", {"": [1]}, "body", "[1]", "known: filter, item_id, k"),
    ],
)
def test_wrong_keys(client: TestClient, path: str, body: Any, where: str, got: str, fix: str) -> None:
    answer = client.post(path, json=body, headers=TOKEN)
    assert (answer.status_code, answer.json()) == (
        422,
        {"where": where, "expected": "a key of this call", "got": got, "fix": fix},
    )


NO_UTF8 = {
    "half a character, as bytes": b'{"item_ids": ["\xed\xa0\x80"]}',
    "the other half": b'{"item_ids": ["a\xed\xbf\xbf"]}',
    "both halves, three bytes each": b'{"item_ids": ["\xed\xa0\xbd\xed\xb8\x80"]}',
    "latin-1": '{"item_ids": ["ü"]}'.encode("latin-1"),
    "utf-16": '{"item_ids": ["i1"]}'.encode("utf-16"),
    "utf-16 with half a character": '{"item_ids": ["\\ud800"]}'.encode("utf-16-le"),
    "utf-32": '{"item_ids": ["i1"]}'.encode("utf-32"),
}


@pytest.mark.parametrize("path", ["/items/remove", "/items/restore"])
@pytest.mark.parametrize("name", NO_UTF8)
def test_bodies_in_other_encodings(client: TestClient, path: str, name: str) -> None:
    answer = client.post(path, content=NO_UTF8[name], headers={"Content-Type": "application/json", **TOKEN})
    assert answer.status_code == 422, answer.text
    assert answer.json()["where"].startswith("body")


def test_a_mark_of_the_encoding_is_passed_over(client: TestClient) -> None:
    assert (
        client.post(
            "/recommend", content=b'\xef\xbb\xbf{"histories": [[]]}', headers={"Content-Type": "application/json"}
        ).status_code
        == 200
    )


def test_depth() -> None:
    for depth in (DEEPEST, DEEPEST + 1):
        body = ("[" * depth + "]" * depth).encode()
        if depth <= DEEPEST:
            assert read_body(body, LIMITS) is not None
        else:
            with pytest.raises(RefusedError, match=f"at most {DEEPEST} lists"):
                read_body(body, LIMITS)


@pytest.mark.parametrize("value", [[1] * 10**6, {"a": [{}, None]}, "x" * 10**6, [[["y"]]], 1.5, {1: "a'b"}, b"z" * 3])
def test_a_value_is_shown_by_its_beginning(value: Any) -> None:
    start = time.process_time()
    text = short_repr(value)
    assert time.process_time() - start < 0.05
    assert repr(value)[: len(text)] == text or text.rstrip("'") in repr(value)
    assert len(text) == min(500, len(repr(value)))


def test_the_document_has_the_limits(client: TestClient) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    body = schemas["RecommendBody"]["properties"]
    assert (body["histories"]["maxItems"], body["histories"]["items"]["maxItems"]) == (LIMITS.histories, LIMITS.history_len)
    assert (body["k"]["maximum"], body["steer"]["maxProperties"]) == (LIMITS.k, LIMITS.preferences)
    assert schemas["ItemsBody"]["properties"]["items"]["maxItems"] == LIMITS.items
