"""The service over HTTP: same answers as the library, limits, admin calls, and what happens while it is busy or stopping."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_shop import shop, shop_by_times
from starlette.testclient import TestClient

from genrec.recommender import persistent as live_module
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.recommender.recommender import Recommender
from genrec.serving.app import create_app
from genrec.serving.limits import Limits
from genrec.serving.service import Service

TOKEN = {"Authorization": "Bearer s3cret"}
SMALL = Limits(body=20_000, histories=3, history_len=5, k=20, items=2, preferences=2, queue=20)


@contextmanager
def served(
    limits: Limits = SMALL, journal: Journal | None = None, catalogue: Catalogue | None = None, **more: Any
) -> Iterator[TestClient]:
    service = Service(PersistentRecommender(catalogue or shop(40), journal or Journal(None)), limits)
    app = create_app(service, Path("bundle"), **({"token": "s3cret"} | more))
    with TestClient(app, raise_server_exceptions=True) as client:
        client.app_state["service"] = service
        yield client


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with served() as client:
        yield client


def service_of(client: TestClient) -> Service:
    service: Service = client.app_state["service"]
    return service


def changed(answer: Any) -> dict[str, Any]:
    """What an admin call says, zeros left out."""
    assert answer.status_code == 200, answer.text
    return {key: value for key, value in answer.json().items() if value}


def removing(client: TestClient, *item_ids: str, headers: Any = TOKEN) -> Any:
    return client.delete("/items", params={"item_id": list(item_ids)}, headers=headers)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"k": 20, "filter": "even == true"},
        {"k": 3, "steer": {"even == true": 2.5}, "exclude_seen": False},
        {"quota": {"even": 2}},
    ],
)
def test_it_answers_as_the_library_does(client: TestClient, settings: dict[str, Any]) -> None:
    histories = [["i1", "i2"], [], ["i3", "nobody"]]
    answer = client.post("/recommend", json={"histories": histories, **settings})
    assert answer.status_code == 200
    lists = answer.json()["lists"]
    assert [one["unknown"] for one in lists] == [[], [], ["nobody"]]
    histories[2] = ["i3"]
    expected = Recommender(shop(40)).recommend(histories, **settings)
    for number, one in enumerate(lists):
        rows = expected.filter(history=number)
        assert [item["item_id"] for item in one["items"]] == rows["item_id"].to_list()
        assert [item["score"] for item in one["items"]] == pytest.approx(rows["score"].to_list(), abs=1e-5)


def test_times() -> None:
    history, times = ["i1", "gone", "i3"], [5, 7, 900.5]
    with served(catalogue=shop_by_times(9)) as client:
        answer = client.post("/recommend", json={"histories": [history, []], "times": [times, []], "k": 4})
        expected = Recommender(shop_by_times(9)).recommend(["i1", "i3"], 4, times=[5, 900.5])
        assert [item["item_id"] for item in answer.json()["lists"][0]["items"]] == expected["item_id"].to_list()
        told = client.post("/recommend", json={"histories": [history]})
        assert (told.status_code, told.json()["where"], told.json()["got"]) == (422, "generator.time_gaps", "none")


def test_similar_items(client: TestClient) -> None:
    answer = client.post("/similar", json={"item_id": "i3", "k": 4, "filter": "even == true"})
    expected = Recommender(shop(40)).similar("i3", 4, filter="even == true")
    assert [item["item_id"] for item in answer.json()["items"]] == expected["item_id"].to_list()


ONE = {"histories": [[]]}
LOOKS = " or ".join(f'"z{number}" in item_id' for number in range(430))


@pytest.mark.parametrize(
    ("path", "body", "status", "where", "got"),
    [
        ("/recommend", ONE | {"k": 21}, 422, "k", "21"),
        ("/recommend", ONE | {"k": 0}, 422, "k", "0"),
        ("/recommend", ONE | {"k": "5"}, 422, "k", "'5'"),
        ("/recommend", ONE | {"kk": 5}, 422, "kk", "5"),
        ("/recommend", {"histories": []}, 422, "histories", "[]"),
        ("/recommend", {"histories": [[]] * 4}, 422, "histories", "4"),
        ("/recommend", {"histories": [[], ["i1"] * 6]}, 422, "histories.1", "6"),
        ("/recommend", {"histories": [[1193]]}, 422, "histories.0.0", "1193"),
        ("/recommend", {"histories": [["i1"], []], "times": [[5]]}, 422, "times", "1"),
        ("/recommend", {"histories": [["i1"], []], "times": [[5], [6]]}, 422, "times of history 1", "1"),
        ("/recommend", {"histories": [["i1"]], "times": [["5"]]}, 422, "times.0.0", "'5'"),
        ("/recommend", ONE | {"filter": "prise < 3"}, 422, "filter, character 1", "prise"),
        ("/recommend", ONE | {"filter": "(" * 60 + "even == true"}, 422, "filter, character 51", "("),
        ("/recommend", ONE | {"filter": "even == true and even == false"}, 422, "filter", "none of 40"),
        ("/recommend", ONE | {"steer": {"even == 3": 1.0}}, 422, "filter, character 9", "3"),
        ("/recommend", ONE | {"steer": {f"even == true {' ' * n}": 1.0 for n in range(3)}}, 422, "steer", "3"),
        ("/recommend", ONE | {"quota": {"odd": 1}}, 422, "quota", "odd"),
        ("/recommend", ONE | {"filter": LOOKS}, 422, "filter", "541 ms for 430 tests of 40 items"),
        ("/recommend", ONE | {"steer": {LOOKS: 1.0, "even == true": 2.0}}, 422, "filter", "541 ms for 430 tests of 40 items"),
        ("/similar", {"item_id": "i1", "filter": LOOKS}, 422, "filter", "541 ms for 430 tests of 40 items"),
        ("/beams", {"history": ["i1"], "filter": LOOKS}, 422, "filter", "541 ms for 430 tests of 40 items"),
        ("/similar", {"item_id": "nobody"}, 422, "items", "'nobody'"),
        ("/items", {"items": [{"item_id": "x", "colour": "red"}]}, 422, "items: x", "colour"),
        ("/items", {"items": [{"item_id": f"x{n}"} for n in range(3)]}, 422, "items", "3"),
        ("/recommends", ONE, 404, "request", "POST /recommends"),
        ("/metrics", ONE, 405, "request", "POST /metrics"),
    ],
)
def test_what_is_refused(client: TestClient, path: str, body: Any, status: int, where: str, got: str) -> None:
    answer = client.post(path, json=body, headers=TOKEN)
    assert (answer.status_code, answer.json()["where"], answer.json()["got"]) == (status, where, got)


@pytest.mark.parametrize(
    ("body", "status", "got"),
    [
        (b"{nothing", 422, "Expecting property name"),
        (b'{"histories": [[]], "steer": {"even == true": NaN}}', 422, "nan"),
        (b'{"histories": [[]], "steer": {"even == true": 1e999}}', 422, "inf"),
        (b'{"histories": [[]], "steer": {"even == true": 1e308}}', 422, "inf"),
        (b'{"histories": [["\\ud83d"]]}', 400, "\\ud83d"),
        (b'{"histories": [["\\ud83d\\ude00"]]}', 200, ""),
        (b"[" * 9_000, 400, "more"),
        (b'{"histories": [[]], "k": ' + b"9" * 5_000 + b"}", 422, "thousands of digits"),
        (b" " * 20_001, 413, "20,001 bytes"),
    ],
)
def test_bodies_of_another_kind(client: TestClient, body: bytes, status: int, got: str) -> None:
    answer = client.post("/recommend", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert got in answer.json().get("got", "")


def test_a_body_without_a_length(client: TestClient) -> None:
    answer = client.post("/recommend", content=(b" " * 5_000 for _ in range(5)))
    assert (answer.status_code, answer.json()["got"]) == (413, "more than 20,000 bytes")


def test_admin_calls_need_the_token() -> None:
    with served() as client:
        for headers in ({}, {"Authorization": "Bearer s3cre"}, {"Authorization": "Basic s3cret"}):
            answer = removing(client, "i1", headers=headers)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert client.post("/reload", headers=headers).status_code == 401
        assert changed(removing(client, "i1")) == {"num_items": 40, "num_removed": 1, "num_taken_down": 1}
        answer = client.post("/items", json={"items": [{"item_id": "i1"}, {"item_id": "new"}]}, headers=TOKEN)
        assert changed(answer) == {
            "num_items": 41,
            "num_removed": 1,
            "num_added": 1,
            "num_unchanged": 1,
            "num_still_removed": 1,
        }
        answer = client.post("/recommend", json=ONE | {"filter": 'item_id == "new"'})
        assert [item["item_id"] for item in answer.json()["lists"][0]["items"]] == ["new"]
        expected = {"num_items": 41, "num_removed": 2, "num_taken_down": 1, "unknown": ["nowhere"]}
        assert changed(removing(client, "nowhere", "i2")) == expected
        assert service_of(client).recommender.removed == ["i1", "i2"]
    with served(token=None) as client:
        assert removing(client, "i1").status_code == 403


def test_changes_outlive_the_process_and_a_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(path: Path, plugins: Any, external: Any = None) -> Catalogue:
        assert path == Path("bundle")
        return shop(50, seed=1)

    monkeypatch.setattr(live_module, "open_catalogue", opened)
    with served(journal=Journal(tmp_path)) as client:
        assert client.post("/items", json={"items": [{"item_id": "new", "even": True}]}, headers=TOKEN).status_code == 200
        removing(client, "i1")
        assert changed(client.post("/reload", headers=TOKEN)) == {"num_items": 51, "num_removed": 1}
    with served(journal=Journal(tmp_path)) as client:
        assert client.post("/items", json={"items": [{"item_id": "new"}]}, headers=TOKEN).json()["num_items"] == 41
        assert service_of(client).recommender.removed == ["i1"]


class Held:
    """Holds the model of a service until it is let go."""

    def __init__(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.let_go = threading.Event(), threading.Event()
        real = service.batcher._run

        def slow(group: Any, entries: list[Any]) -> list[Any]:
            self.entered.set()
            assert self.let_go.wait(30)
            return real(group, entries)

        monkeypatch.setattr(service.batcher, "_run", slow)


def in_background(client: TestClient, answers: list[int], number: int) -> list[threading.Thread]:
    threads = [
        threading.Thread(target=lambda: answers.append(client.post("/recommend", json=ONE).status_code)) for _ in range(number)
    ]
    for thread in threads:
        thread.start()
    return threads


def test_a_full_queue_says_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Limits(queue=3, histories=3, timeout=30)) as client:
        held, answers = Held(service_of(client), monkeypatch), list[int]()
        threads = in_background(client, answers, 1)
        assert held.entered.wait(30)
        threads += in_background(client, answers, 3)
        while service_of(client).batcher.waiting < 3:
            threading.Event().wait(0.01)
        answer = client.post("/recommend", json=ONE)
        assert (answer.status_code, answer.json()["where"]) == (429, "queue")
        assert int(answer.headers["Retry-After"]) >= 1
        held.let_go.set()
        for thread in threads:
            thread.join()
        assert answers == [200] * 4
        assert client.post("/recommend", json=ONE).status_code == 200


def test_a_late_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Limits(timeout=0.2)) as client:
        held = Held(service_of(client), monkeypatch)
        answer = client.post("/recommend", json=ONE)
        held.let_go.set()
        assert (answer.status_code, answer.json()["expected"]) == (503, "an answer within 0.2 s")


def test_stopping_answers_what_was_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Limits(timeout=30)) as client:
        service, answers = service_of(client), list[int]()
        held = Held(service, monkeypatch)
        threads = in_background(client, answers, 3)
        assert held.entered.wait(30)
        stopping = threading.Thread(target=service.batcher.close)
        stopping.start()
        while service.batcher.alive:
            threading.Event().wait(0.01)
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        late = client.post("/recommend", json=ONE)
        held.let_go.set()
        for thread in (stopping, *threads):
            thread.join()
        assert answers.count(200) >= 1
        assert set(answers) <= {200, 503}, "503: it came after the end"
        assert (late.status_code, late.json()["got"]) == (503, "stopping")


def test_no_illegal_item_while_everything_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Askers note what was removed when they asked; an item may be put back meanwhile, so only those that stay out count."""
    monkeypatch.setattr(
        live_module, "open_catalogue", lambda path, plugins, external=None: shop(50 if len(seen) % 2 else 40, seed=len(seen))
    )
    seen: list[int] = []
    gone: list[str] = []
    wrong: list[Any] = []
    done = threading.Event()
    with served(Limits(timeout=60, queue=500)) as client:

        def ask(filtered: bool) -> None:
            while not done.is_set():
                out = set(gone)
                body = {"histories": [["i1", "i2"], [], ["i3"]], "k": 20} | ({"filter": "even == true"} if filtered else {})
                answer = client.post("/recommend", json=body)
                if answer.status_code != 200:
                    wrong.append(answer.text)
                    continue
                for history, one in zip(body["histories"], answer.json()["lists"], strict=True):
                    listed = [item["item_id"] for item in one["items"]]
                    odd = [item_id for item_id in listed if filtered and item_id[0] == "i" and int(item_id[1:]) % 2]
                    known = [f"i{row}" for row in range(50)] + [f"new{row}" for row in range(50)]
                    if len(set(listed)) < len(listed) or {*listed} & {*history, *out} or odd or not {*listed} <= {*known}:
                        wrong.append((history, listed))
                seen.append(1)

        threads = [threading.Thread(target=ask, args=(number % 2 == 0,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for row in range(5, 25):
            assert client.post("/items", json={"items": [{"item_id": f"new{row}", "even": True}]}, headers=TOKEN).is_success
            assert removing(client, f"i{row}", f"new{row - 1}" if row > 5 else "i4").is_success
            gone += [f"i{row}", f"new{row - 1}"]
            if row % 4 == 0:
                assert client.post("/reload", headers=TOKEN).is_success
        asked = len(seen)
        while len(seen) < asked + 8:
            threading.Event().wait(0.01)
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_measures(client: TestClient) -> None:
    client.post("/recommend", json={"histories": [[], []]})
    client.get("/nowhere")
    client.get("/nowhere/else")
    for number in range(20):
        client.request(f"MADEUP{number}", "/healthz")
    text = client.get("/metrics").text
    values = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    assert values['genrec_requests_total{method="POST",path="/recommend",status="200"}'] >= 1
    assert values['genrec_requests_total{method="GET",path="other",status="404"}'] >= 2
    assert values['genrec_requests_total{method="other",path="/healthz",status="405"}'] >= 20
    assert "MADEUP" not in text
    assert values["genrec_items"] == 40
    assert values["genrec_queue_length"] == 0
    buckets = [value for name, value in values.items() if "request_seconds_bucket" in name and '"/recommend"' in name]
    assert buckets == sorted(buckets)
    assert buckets[-1] == values['genrec_request_seconds_count{path="/recommend"}'] >= 1
    assert values["genrec_batch_size_sum"] >= 2


def test_logs_have_no_histories_unless_asked(caplog: pytest.LogCaptureFixture) -> None:
    body = {"histories": [["i1", "a secret"]]}
    for log_histories in (False, True):
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="genrec.serving"), served(log_histories=log_histories) as client:
            assert client.post("/recommend", json=body).status_code == 200
        (record,) = caplog.records
        fields = record.fields  # type: ignore[attr-defined]
        assert (fields["path"], fields["status"]) == ("/recommend", 200)
        assert ("a secret" in json.dumps(fields)) == log_histories


def test_a_bug_sends_no_traceback(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as client:
        monkeypatch.setattr(service_of(client).batcher, "_run", lambda group, entries: 1 / 0)
        answer = client.post("/recommend", json=ONE)
        assert answer.status_code == 500
        assert "division" not in answer.text
    assert "ZeroDivisionError" in caplog.text


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_WORDS = st.sampled_from(
    ["even", "item_id", "code_0", "==", "!=", "<", "in", "is", "not", "null", "and", "or", "(", ")", "[", "]"]
)
_FILTERS = st.lists(_WORDS | st.sampled_from(["true", "1", "-9e99", "9" * 40, "'i1'", '"x"', "`", ","]), max_size=8).map(
    " ".join
)


@settings(max_examples=60)
@given(
    st.fixed_dictionaries(
        {"histories": st.lists(st.lists(st.sampled_from(["i1", "i2"]) | st.text(max_size=3), max_size=3), max_size=2) | _JSON},
        optional={
            "k": st.integers(1, 25) | _JSON,
            "filter": _FILTERS | st.text(max_size=10) | _JSON,
            "steer": st.dictionaries(_FILTERS, st.floats() | st.integers(), max_size=2) | _JSON,
            "quota": st.dictionaries(st.sampled_from(["even", "item_id", "odd"]), st.integers(-1, 3), max_size=2) | _JSON,
            "exclude_seen": st.booleans() | _JSON,
        },
    )
)
def test_no_body_breaks_it(client: TestClient, body: Any) -> None:
    answer = client.post("/recommend", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code != 200:
        assert set(answer.json()) == {"where", "expected", "got", "fix"}
