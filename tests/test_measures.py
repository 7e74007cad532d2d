"""What a service says of itself: bundle, reloads, refusals, lists, new items; and the warm-up before it is ready."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_bundle import exported
from small_shop import shop
from test_service import SMALL, TOKEN, served, service_of

import genrec
from genrec.errors import ArtifactError
from genrec.recommender import persistent as live_module
from genrec.serving.limits import Limits
from genrec.serving.prometheus import REASONS

SOURCE = {"fingerprint": "abc", "created": "2026-01-01T00:00:00+00:00", "genrec": "0.1"}


def values(client: Any) -> dict[str, float]:
    rows = (line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def test_lists_histories_and_new_items_are_counted() -> None:
    with served(Limits(), catalogue=shop(40)) as client:
        client.post("/items", json={"items": [{"item_id": "new1"}, {"item_id": "new2"}]}, headers=TOKEN)
        client.post("/recommend", json={"histories": [["i1", "zz", "new1"], []], "k": 42, "exclude_seen": False})
        client.post("/recommend", json={"histories": [["i2"]], "k": 3, "filter": 'item_id in ["i5", "i6"]'})
        now = values(client)
    assert {name: value for name, value in now.items() if name.startswith(("genrec_history", "genrec_list"))} == {
        'genrec_history_items_total{kind="known"}': 3,
        'genrec_history_items_total{kind="unknown"}': 1,
        'genrec_lists_total{kind="all"}': 3,
        'genrec_lists_total{kind="short"}': 1,
        'genrec_lists_total{kind="with_new_items"}': 2,
        'genrec_listed_items_total{kind="trained"}': 40 * 2 + 2,
        'genrec_listed_items_total{kind="new"}': 4,
    }
    assert now["genrec_items_new"] == 2


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("POST", "/recommend", {"histories": [[]], "filter": "prise < 3"}, "filter"),
        ("POST", "/recommend", {"histories": [[]], "quota": {"odd": 1}}, "quota"),
        ("POST", "/recommend", {"histories": [[]], "k": 2000}, "k"),
        ("POST", "/recommend", {"histories": [["i1"]], "times": [[1, 2]]}, "times"),
        ("POST", "/recommend", {"histories": "i1"}, "histories"),
        ("POST", "/recommend", {"hist": [[]]}, "other"),
        ("GET", "/nowhere", None, "request"),
        ("POST", "/reload", None, "authorization"),
        ("MADEUP", "/items", None, "request"),
        ("GET", "/items?status=gone", None, "status"),
    ],
)
def test_refusals_by_reason(method: str, path: str, body: Any, reason: str) -> None:
    with served(Limits()) as client:
        assert client.request(method, path, json=body).status_code >= 400
        now = values(client)
        assert {name: value for name, value in now.items() if "refusals" in name} == {
            f'genrec_refusals_total{{reason="{reason}"}}': 1
        }


def test_labels_are_a_fixed_set() -> None:
    with served(SMALL) as client:
        for number in range(50):
            client.request(f"MADE{number}", f"/up{number}")
            client.post("/recommend", json={f"key{number}": 1})
            client.post("/recommend", json={"histories": [[]], "filter": f"column{number} < 3"})
        names = [name for name in values(client) if name.startswith(("genrec_requests", "genrec_refusals"))]
        assert len(names) <= 6
        assert all(name.split('"')[1] in REASONS for name in names if "refusals" in name)


def test_bundle_age_and_reloads(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(path: Path, plugins: Any, external: Any = None) -> Any:
        if failing:
            raise ArtifactError(path, expected="a bundle", got="none", fix="export one")
        return replace(shop(50), source=SOURCE | {"fingerprint": "def"})

    failing = False
    monkeypatch.setattr(live_module, "open_catalogue", opened)
    with served(Limits(), catalogue=replace(shop(40), source=SOURCE)) as client:
        told = client.get("/readyz").json()
        assert (told["status"], told["bundle"], told["num_items"], told["reloads"]) == ("ok", "abc", 40, 0)
        assert told["bundle_age_seconds"] > 86_400
        assert client.post("/reload", headers=TOKEN).is_success
        failing = True
        assert client.post("/reload", headers=TOKEN).status_code == 503
        told = client.get("/healthz").json()
        assert (told["bundle"], told["num_items"], told["reloads"], told["failed_reloads"]) == ("def", 50, 1, 1)
        now = values(client)
        assert now['genrec_reloads_total{result="done"}'] == now['genrec_reloads_total{result="failed"}'] == 1
        assert now['genrec_bundle_info{fingerprint="def",genrec="0.1"}'] == 1
        assert now["genrec_bundle_age_seconds"] > 86_400


def test_lines_of_requests_have_a_message(caplog: pytest.LogCaptureFixture) -> None:
    with served(Limits()) as client, caplog.at_level(logging.INFO, logger="genrec.serving"):
        client.post("/recommend", json={"histories": [[]]})
        client.request("MADEUP", "/openapi.json")
    said = [record.getMessage() for record in caplog.records if record.name == "genrec.serving"]
    assert any(line.startswith("POST /recommend 200 in ") for line in said)
    assert not any("MADEUP" in line for line in said)


@pytest.mark.slow
def test_after_a_warm_up_nothing_of_the_bundle_is_needed(tmp_path: Path) -> None:
    bundle = exported(tmp_path)
    cold, warm = genrec.load(bundle), genrec.load(bundle, warm=True)
    parts = {"_encoder", "_tokenizer", "_policy"}
    assert not parts & set(vars(cold.catalogue.intake))
    assert parts <= set(vars(warm.catalogue.intake)), "open before anybody asks"
    shutil.rmtree(bundle)  # as gc does after a rerun
    warm.add_items([{"item_id": "late", "title": "a late one"}])
    assert "late" in warm.recommend(["late"], 200, exclude_seen=False)["item_id"]
    with pytest.raises(Exception, match=r"No such file|expected"):
        cold.add_items([{"item_id": "late", "title": "a late one"}])


def test_a_service_without_a_tokenizer_starts_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    from genrec.recommender.bundle import warm_up

    closed = replace(shop(20), intake=None)
    with caplog.at_level(logging.WARNING, logger="genrec.serving"):
        assert warm_up(closed) is closed
    assert "the first new item will fail" in caplog.text
    with served(Limits(), catalogue=warm_up(closed)) as client:
        assert service_of(client).recommender.items.height == 20


def test_the_calls_as_a_page() -> None:
    with served(Limits()) as client:
        answer = client.get("/docs")
        assert answer.status_code == 200
        for call in ("POST /recommend", "PATCH /items", "POST /items/restore", "GET /metrics"):
            assert f"<code>{call}</code>" in answer.text
        assert "<script" not in answer.text
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
