"""Ten thousand fuzzed bodies and filters: answered, or refused by a 4xx that has the offending value; never a traceback."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fuzzed import filters, fuzzed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger import Ledger
from small_shop import shop

from genrec.errors import ConfigError
from genrec.recommender import persistent as live_module
from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.serving.app import create_app
from genrec.serving.limits import Limits
from genrec.serving.service import Service

LIMITS = Limits(histories=3, history_len=5, k=20, items=2, preferences=2, queue=20, max_wait=1e-9, timeout=600)
WORDS = {"the end", "nothing", "none", "one", "None"}


class App:
    """The service without a network."""

    def __init__(self) -> None:
        self.service = Service(PersistentRecommender(shop(12), Journal(None)), LIMITS)
        self.app, self.loop = create_app(self.service, Path("bundle"), token="s3cret"), asyncio.new_event_loop()

    def ask(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and answer."""
        path, _, query = path.partition("?")
        headers = [(b"authorization", b"Bearer s3cret"), (b"content-type", b"application/json")]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "root_path": "",
            "path": path,
            "raw_path": path.encode(),
            "query_string": quote(query, safe="=&%").encode(),
            "headers": headers,
            "server": ("test", 80),
            "client": ("test", 1),
        }
        sent: list[dict[str, Any]] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return waiting.pop() if waiting else await asyncio.sleep(3600, {"type": "http.disconnect"})

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        self.loop.run_until_complete(self.app(scope, receive, send))
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])

    def close(self) -> None:
        """Ends its thread."""
        self.service.close()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


def sent_values(node: Any) -> list[Any]:
    """Everything in a body, the sizes of lists too."""
    inner = list(node) + list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    size = [len(node)] if isinstance(node, dict | list | str) else []
    return [node, *size, *(value for one in inner for value in sent_values(one))]


def has_offending_value(got: str, path: str, body: bytes) -> bool:
    """Whether what an answer says was wrong is something that was sent, or the lack of it."""
    text = path + body.decode(errors="replace")
    bare = got.strip("'\"").partition("... (")[0]  # of a long id its beginning and its length
    if got in WORDS or bare in text or got.startswith(("none of ", "Expecting", "Invalid", "Unterminated", "Extra", "JSON")):
        return True
    try:
        values = sent_values(json.loads(body))
    except ValueError:
        return bool(got)
    shown = {form for value in values for form in (str(value), repr(value), repr(value)[:200], repr(value)[:500])}
    return got in shown or any(bare in form for form in shown)


def fuzz(number: int, ledger: Ledger) -> Counter[int]:
    """Sends so many; how many answers there were of each status."""
    app, statuses, wrong = App(), Counter[int](), dict[str, object]()

    @settings(max_examples=number, database=None, suppress_health_check=list(HealthCheck))
    @given(fuzzed())
    def one(request: tuple[str, str, bytes]) -> None:
        status, answer = app.ask(*request)
        statuses[status] += 1
        ledger.inject("fuzzed request")
        if not (200 <= status < 300 or 400 <= status < 500) or b"Traceback" in answer:
            wrong[f"status {status}"] = (request, answer)
        elif status >= 400:
            told = json.loads(answer)
            if set(told) != {"where", "expected", "got", "fix"} or not all(isinstance(w, str) and w for w in told.values()):
                wrong[f"form of {status}"] = (request, told)
            elif status not in (400, 404, 405) and not has_offending_value(told["got"], request[1], request[2]):
                wrong[f"value where {told['expected']} was expected"] = (request, told)

    one()
    healthy = app.ask("POST", "/recommend", b'{"histories": [[]], "k": 3}')
    app.close()
    assert not wrong, "\n".join(f"{what}: {example}" for what, example in wrong.items())
    assert healthy[0] == 200, "and it still answers"
    return statuses


def fuzz_filters(number: int, ledger: Ledger) -> Counter[bool]:
    """Reads so many filters; how many could be read."""
    table, read, wrong = shop(12).table, Counter[bool](), list[object]()

    @settings(max_examples=number, database=None, suppress_health_check=list(HealthCheck))
    @given(filters | st.text(st.sampled_from("()[]'\"`=<>! .,1eaindotr"), max_size=40))
    def one(text: str) -> None:
        ledger.inject("fuzzed filter")
        try:
            passed, got = table.passing_items(text), ""
        except ConfigError as error:
            passed, got = None, str(error.got)
        read[passed is not None] += 1
        if passed is None and got != "the end" and got not in text:
            wrong.append((text, got))

    one()
    assert not wrong, wrong[:9]
    return read


@pytest.fixture(autouse=True)
def reloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "open_catalogue", lambda path, plugins, external=None: shop(12))


def test_a_few(ledger: Ledger) -> None:
    assert fuzz(100, ledger)[200]
    assert fuzz_filters(100, ledger)[True]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_ten_thousand_of_each(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    statuses, read = fuzz(10_000, ledger), fuzz_filters(10_000, ledger)
    with capsys.disabled():
        print(f"\nanswers by status: {dict(statuses)}; filters read: {read[True]:,}, refused: {read[False]:,}")
    assert statuses.total() >= 10_000
    assert read.total() >= 10_000
    assert statuses[200] > 500, "many of them are right"
