"""The page to try a recommender, the calls that it makes, and, where Chromium is at hand, what a person can do with it."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import numpy as np
import polars as pl
import pytest
import uvicorn
from browser import CHROMIUM, Browser
from html_pages import parsed
from hypothesis import given
from hypothesis import strategies as st
from small_evaluation import walks
from small_shop import shop, shop_by_times, shop_with_columns, shop_with_words, with_model
from starlette.testclient import TestClient
from test_models_with_times import shop_of_ids_by_times

import genrec
from genrec.decoding.fusion import Fusion
from genrec.decoding.new_item_quota import NewItemQuota
from genrec.errors import ArtifactError
from genrec.recommender.bundle import _sample_times as bundle_sample_times
from genrec.recommender.bundle import _samples as bundle_samples
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.filter_language import allowed_items
from genrec.recommender.item_search import item_records, search_items
from genrec.recommender.item_table import ItemTable
from genrec.recommender.journal import Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.recommender.recommender import Recommender
from genrec.serving.app import create_app
from genrec.serving.limits import Limits
from genrec.serving.pages import choices, image_column, page_data, ranges
from genrec.serving.service import Service
from genrec.stages.export import sample_histories, sample_times, with_popularity

HOSTILE = "</script><script>document.title='taken'</script><!--<img src=x onerror=alert(1)> & \u2028 \"'"
DOT = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def boutique(num_items: int = 40) -> Catalogue:
    """A shop whose items have all that the page can show; the first has a title that wants to be code."""
    plain, rows = shop(num_items), range(num_items)
    frame = plain.table.frame.with_columns(
        title=pl.Series([HOSTILE, *(f"{'Red' if row % 3 else 'Blue'} shoe number {row}" for row in rows[1:])]),
        categories=pl.Series([f"Shop > {'Hats' if row % 4 else 'Boots'}" for row in rows]),
        price=pl.Series([None if row % 7 == 3 else float(row) for row in rows]),
        popularity=pl.Series([(row * 7) % 23 for row in rows]),
        image_url=pl.Series([DOT if row % 2 else None for row in rows]),
    )
    samples = ([f"i{row}" for row in (3, 4, 5, 6)], ["i9", "i8", "i7"])
    return replace(plain, table=ItemTable(frame, plain.table.sids), samples=samples)


def app_of(catalogue: Catalogue, **limits: Any) -> Any:
    return create_app(
        Service(PersistentRecommender(catalogue, Journal(None)), Limits(**({"timeout": 60.0} | limits))), Path("bundle")
    )


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(app_of(boutique(), k=20, history_len=5, preferences=2, items=6)) as client:
        yield client


# --- search ---


def found_by_hand(frame: pl.DataFrame, query: str) -> list[str]:
    """What ``search_items`` promises, item by item."""
    words = query.lower().split()

    def key(row: dict[str, Any]) -> Any:
        texts = [f" {row['title'] or ''}".lower(), f" {row['item_id']}".lower()]
        has = [[f" {part}" in text for text in texts] for part in (" ".join(words), *words)]
        return (row["item_id"].lower() != " ".join(words), not any(has[0]), not all(map(any, has[1:])), -row["popularity"])

    rows = [row for row in frame.to_dicts() if all(w in f"{row['title'] or ''}\n{row['item_id']}".lower() for w in words)]
    return [row["item_id"] for row in (sorted(rows, key=key) if words else sorted(rows, key=lambda row: -row["popularity"]))]


_TEXT = st.text("aAbB 1.(", max_size=8)


@given(st.lists(_TEXT | st.none(), min_size=1, max_size=12), _TEXT, st.integers(1, 12))
def test_search_finds_what_a_person_would(titles: list[str | None], query: str, limit: int) -> None:
    popularity = [(7 * row) % 12 for row in range(len(titles))]
    frame = pl.DataFrame(
        {"item_id": [f"a{row}" for row in range(len(titles))], "title": titles, "popularity": popularity},
        schema={"item_id": pl.String, "title": pl.String, "popularity": pl.Int64},
    )
    catalogue = replace(shop(1), table=ItemTable(frame, None))
    rows, number = search_items(catalogue, query, limit)
    expected = found_by_hand(frame, query)
    assert ([frame["item_id"][row] for row in rows], number) == (expected[:limit], len(expected))


def test_what_was_removed_is_not_found() -> None:
    catalogue, _ = boutique().without_items(["i5"])
    everything, number = search_items(catalogue, "shoe", 40)
    assert (len(everything), number) == (38, 38)
    assert 5 not in everything
    assert search_items(catalogue, "i5", 40) == ([], 0)


def test_items_are_told_as_json_has_them() -> None:
    frame = pl.DataFrame(
        {
            "item_id": ["a", "b"],
            "price": [float("nan"), float("inf")],
            "since": [datetime.date(2020, 1, 2), None],
            "tags": [["x"], None],
            "photo": [b"\xff", None],
            "photos": [[b"\xff"], None],
        }
    )
    records = item_records(replace(shop(1), table=ItemTable(frame, None)), [1, 0])
    assert [item["item_id"] for item in records] == ["b", "a"]
    assert records[1] == {
        "item_id": "a",
        "content": {"price": None, "since": "2020-01-02", "tags": ["x"]},
        "codes": None,
        "status": ["active"],
    }
    assert json.loads(json.dumps(records, allow_nan=False)) == records
    assert item_records(replace(shop(1), table=ItemTable(frame.select("item_id"), None)), [0])[0]["content"] == {}


# --- explanations and beams ---


def test_beams_end_at_the_list_and_leave_out_nothing() -> None:
    recommender = Recommender(boutique())
    beams, listed = recommender.beams(["i1"], 40, exclude_seen=False), recommender.recommend(["i1"], 40, exclude_seen=False)
    last = beams.filter(pl.col("level") == beams["level"].max())
    assert last["item_id"].to_list() == listed["item_id"].to_list()
    assert np.allclose(last["log_prob"], listed["score"], atol=1e-5)
    before: set[tuple[int, ...]] = {()}
    for number, level in enumerate(beams.partition_by("level", maintain_order=True)):
        codes = set(map(tuple, level["codes"].to_list()))
        assert {one[:number] for one in codes} == before
        assert np.exp(level["log_prob"].to_numpy()).sum() == pytest.approx(1, abs=1e-4), "50 beams are enough for all of 40"
        assert level["num_items"].sum() == 40
        assert level["log_prob"].is_sorted(descending=True)
        before = codes


def test_beams_lead_to_what_is_allowed_only() -> None:
    recommender = Recommender(boutique())
    recommender.remove_items(["i4"])
    beams = recommender.beams(["i2"], 5, filter="even == true", steer={"price > 10": 3.0})
    assert {int(item[1:]) % 2 for item in beams["item_id"]} == {0}
    assert "i4" not in beams["item_id"]
    last = beams.filter(pl.col("level") == beams["level"].max())
    listed = recommender.recommend(["i2"], 5, filter="even == true", steer={"price > 10": 3.0})
    assert last["item_id"].to_list()[:5] == listed["item_id"].to_list()


def test_a_fusion_shows_the_search_of_its_generator() -> None:
    fusion = Fusion(members=("generator",), num_candidates=50)
    fusion.weights = {"generator": 1.0}
    catalogue = with_model(boutique(), strategy=fusion)
    vectors = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    for strategy in (fusion, NewItemQuota(fusion, vectors=vectors, num_trained=35, share=0.2)):
        beams = Recommender(with_model(catalogue, strategy=strategy)).beams(["i1"], 5)
        assert beams["item_id"].to_list() == Recommender(boutique()).beams(["i1"], 5)["item_id"].to_list()


def test_it_answers_as_the_library_does(client: TestClient) -> None:
    recommender = Recommender(boutique())
    answer = client.post("/explain", json={"history": ["i1", "nobody", "i2"], "item_id": "i7"}).json()
    why = recommender.explain(["i1", "i2"], "i7")
    assert why.path is not None
    assert [step["code"] for step in answer["path"]] == why.path["code"].to_list()
    assert sum(step["log_prob"] for step in answer["path"]) == pytest.approx(answer["log_prob"], abs=1e-4)
    assert [one["item_id"] for one in answer["because"]] == why.because["item_id"].to_list()
    assert answer["unknown"] == ["nobody"]
    assert client.post("/explain", json={"history": [], "item_id": "i7"}).json()["because"] == []

    body = {"k": 4, "filter": "even == true", "steer": {"price > 10": 1.5}, "exclude_seen": False}
    answer = client.post("/beams", json={"history": ["i1", "nobody"]} | body).json()
    beams = recommender.beams(["i1"], 4, filter="even == true", steer={"price > 10": 1.5}, exclude_seen=False)
    assert [beam["codes"] for level in answer["levels"] for beam in level] == beams["codes"].to_list()
    assert answer["unknown"] == ["nobody"]

    answer = client.get("/items", params={"item_id": ["i3", "nobody", "i1"]}).json()
    assert [item["item_id"] for item in answer["items"]] == ["i3", "i1"]
    assert answer["unknown"] == ["nobody"]
    assert recommender.sids is not None
    assert answer["items"][0]["codes"] == list(recommender.sids.row(3)[1:])
    assert client.get("/items", params={"query": "SHOE 1", "limit": 3}).json()["num_found"] == 13
    assert len(client.get("/items").json()["items"]) == 20


@pytest.mark.parametrize(
    ("path", "body", "where", "got"),
    [
        ("/explain", {"history": [], "item_id": "nobody"}, "items", "'nobody'"),
        ("/explain", {"history": ["i1"] * 6, "item_id": "i1"}, "history", "6"),
        ("/explain", {"history": [], "item_id": "i1", "last": 101}, "last", "101"),
        ("/beams", {"history": [], "k": 21}, "k", "21"),
        ("/beams", {"history": ["i1"] * 6}, "history", "6"),
        ("/beams", {"history": [], "steer": {f"price > {n}": 1.0 for n in range(3)}}, "steer", "3"),
        ("/beams", {"history": [], "filter": "prise > 3"}, "filter, character 1", "prise"),
        ("/items?limit=21", None, "limit", "21"),
        ("/items?limit=0", None, "limit", "'0'"),
        ("/items?" + "&".join(["item_id=i1"] * 7), None, "item_id", "7"),
    ],
)
def test_what_is_refused(client: TestClient, path: str, body: Any, where: str, got: str) -> None:
    answer = client.get(path) if body is None else client.post(path, json=body)
    assert (answer.status_code, answer.json()["where"], answer.json()["got"]) == (422, where, got)


# --- what sliders do ---


def test_every_step_of_a_slider_is_a_filter() -> None:
    odd = "of `no` use"
    items = boutique().table.frame.with_columns(
        pl.Series(odd, [row % 7 for row in range(40)]),
        pl.Series("number", range(40)),
        pl.Series("list price", [float(row) for row in range(40)]),
        pl.Series("and", [f'"{row % 3}\\' for row in range(40)]),
    )
    found = ranges(items)
    assert [knob.column for knob in found] == ["price", "popularity", "list price"]
    for knob in found:
        values = items[knob.column]
        above = [allowed_items(test, items) for test in knob.above]
        below = [allowed_items(test, items) for test in knob.below]
        for one, other in zip(above, below, strict=True):
            assert (one ^ other)[values.is_not_null().to_numpy()].all(), "a step has two sides"
            assert not (one | other)[values.is_null().to_numpy()].any(), "what is not known is not favoured"
            assert one.any()
            assert other.any()
        assert all((low >= high).all() for low, high in pairwise(above))
    kinds = choices(items)
    assert [kind.column for kind in kinds] == ["categories", "even", "and"]
    for kind in kinds:
        passing = np.array([allowed_items(test, items) for _, test in kind.values])
        assert (passing.sum(axis=0) == 1).all(), "here every item has one of them"


def test_columns_that_tell_nothing_are_no_sliders() -> None:
    items = pl.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(9)],
            "row": range(9),
            "same": ["a"] * 9,
            "title": [f"t{row}" for row in range(9)],
            "price": [float("nan"), float("inf"), None, None, None, None, None, None, None],
        }
    )
    assert ranges(items) == []
    assert choices(items) == []


def test_images_are_known_by_name_and_address() -> None:
    items = pl.DataFrame({"item_id": ["a"], "imagery": ["rich"], "page": ["https://x"], "images": [["https://x/1.jpg"]]})
    assert image_column(items) == "images"
    assert image_column(items.drop("images")) is None
    assert image_column(boutique().table.frame) == "image_url"


def test_bundles_carry_popularity_and_samples() -> None:
    dataset = walks(items=30)
    assert with_popularity(dataset)["popularity"].to_list() == dataset.train_counts.tolist()
    theirs = replace(dataset, items=dataset.items.with_columns(popularity=pl.lit("high")))
    assert set(with_popularity(theirs)["popularity"]) == {"high"}
    samples = sample_histories(dataset, 4)
    known = [dataset.item_ids.gather(dataset.events[user]).to_list() for user in range(dataset.num_users)]
    assert len(samples) == 4
    assert all(any(sample == whole[-50:] for whole in known) for sample in samples)
    timed = replace(dataset, timestamps=1_000.0 * np.arange(len(dataset.events.item_idx)))
    rows = [int(own[0]) // 1_000 for own in sample_times(timed, 4)]
    assert [len(own) for own in sample_times(timed, 4)] == [len(sample) for sample in samples]
    assert [dataset.item_ids[int(dataset.events.item_idx[row])] for row in rows] == [sample[0] for sample in samples]


def test_times_of_samples_come_with_the_bundle(tmp_path: Path) -> None:
    files = {"samples.json": [["a", "b"], ["c"]], "sample_times.json": [[1, 5.5], [2]]}
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    samples = bundle_samples(tmp_path / "samples.json")
    assert bundle_sample_times(tmp_path / "sample_times.json", samples) == ([1, 5.5], [2])
    assert bundle_sample_times(tmp_path / "none.json", samples) == ()
    (tmp_path / "sample_times.json").write_text("[[1, 5.5], []]", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"sample_times\.json: .* got times of history 1: 0"):
        bundle_sample_times(tmp_path / "sample_times.json", samples)


def test_the_page_is_told_times_where_the_model_looks_at_them() -> None:
    plain = page_data(boutique(), Limits())
    assert plain["times"] is None
    timely = replace(shop_by_times(9), samples=(["i1", "i2", "i3"], ["i4", "i5"]), sample_times=([10, 20, 50], [40, 60]))
    assert page_data(timely, Limits())["times"] == {"samples": [[10, 20, 50], [40, 60]], "start": 60.0, "gap": 20.0}
    without = page_data(shop_by_times(9), Limits())["times"]
    assert (without["samples"], without["gap"]) == ([], 86_400)
    assert without["start"] > 1.7e9


# --- the page ---


def test_the_page_is_whole_and_runs_only_its_own_script(client: TestClient) -> None:
    answer = client.get("/")
    page = parsed(answer.text)
    assert answer.headers["content-type"].startswith("text/html")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    for name, element in (("script-src", r'<script type="module">'), ("style-src", "<style>")):
        (text,) = re.findall(f"{element}(.*?)</", answer.text, re.DOTALL)
        assert policy[name] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert (policy["default-src"], policy["connect-src"]) == ("'none'", "'self'")
    for name, attributes in page.tags:
        assert name not in {"link", "img", "iframe"}
        assert not {"src", "href", "style"} & {
            key for key in attributes if key.startswith("on") or key in {"src", "href", "style"}
        }
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert word not in answer.text
    assert HOSTILE not in answer.text
    assert client.get("/favicon.ico").status_code == 204


def test_the_page_has_boxes_for_the_words_that_a_package_hears() -> None:
    limits = Limits()
    words = [
        page_data(catalogue, limits)["words"]
        for catalogue in (boutique(), shop_with_words(20), shop_with_words(20, trained=False))
    ]
    assert words == [[], ["query", "wish"], ["wish"]]


def test_the_page_has_fields_for_what_a_request_may_say() -> None:
    fields = page_data(shop_with_columns(20), Limits())["request"]
    assert fields == [{"name": "event_type", "words": ["buy", "view"]}, {"name": "time", "words": None}]
    assert page_data(boutique(), Limits())["request"] == []


def test_the_page_follows_the_catalogue() -> None:
    app = app_of(boutique())
    with TestClient(app) as client:
        first = client.get("/").text
        assert client.get("/").text == first
    assert "from 40 items" in first
    bare = replace(shop(3), table=ItemTable(pl.DataFrame({"item_id": ["</script>", "b", "c"]}), shop(3).table.sids))
    with TestClient(app_of(bare)) as client:
        page = client.get("/").text
        parsed(page)
        assert '"ranges":[],"choices":[],"samples":[]' in page


# --- in a browser ---


@contextmanager
def listening(catalogue: Catalogue) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app_of(catalogue), port=0, log_config=None, access_log=False))
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join()


QUIET = "!document.querySelector('[aria-busy]') && document.querySelector('.level')"
LISTED = "[...document.querySelectorAll('#list > li')].map((row) => row.dataset.id)"
HISTORY = "[...document.querySelectorAll('#history .item')].map((item) => item.textContent)"


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_person_can_search_build_a_history_and_steer(tmp_path: Path) -> None:
    catalogue = boutique()
    library = Recommender(catalogue)

    def ids(*history: str, **settings: Any) -> list[str]:
        return library.recommend([list(history)], 10, **settings)["item_id"].to_list()

    with listening(catalogue) as url, Browser(tmp_path / "profile", width=1400) as page:
        page.open(url)
        page.until(QUIET)
        assert page.value(LISTED) == ids()

        page.click("#search")  # search, and add the first hit by keys alone
        page.type("shoe 17")
        page.until("document.querySelector('#found button')")
        assert page.value("document.querySelector('#found .item').textContent") == "Red shoe number 17"
        page.press("ArrowDown")
        page.press("Enter")
        page.until(f"{HISTORY}.length === 1 && {QUIET}")
        page.until(f"JSON.stringify({LISTED}) === {json.dumps(json.dumps(ids('i17'), separators=(',', ':')))}")
        assert page.value("location.hash") == "#item=i17"

        first = ids("i17")[0]
        page.click(f'[data-id="{first}"] .actions button:last-child')  # add from the list
        page.until(f"{HISTORY}.length === 2 && {QUIET}")
        now = ids("i17", first)
        page.until(f"JSON.stringify({LISTED}) === {json.dumps(json.dumps(now, separators=(',', ':')))}")

        page.value("document.querySelector('#knobs input').focus()")  # the slider of the price, by keys
        page.press("ArrowRight", times=6)
        page.until(f"document.querySelector('#status').textContent.includes('with 1 preference') && {QUIET}")
        steered = page.value(LISTED)
        (price,) = [knob for knob in ranges(catalogue.table.frame) if knob.column == "price"]
        assert steered == ids("i17", first, steer={test: 6 * 0.75 / len(price.above) for test in price.above})
        assert steered != now
        assert page.value("document.querySelector('#list .pill').textContent")

        page.click('#list [data-key^="why"]')
        page.until("document.querySelector('.why .part')")
        assert page.value("document.querySelectorAll('.why > div:first-child .part').length") == 2
        page.until("document.querySelectorAll('.level li.chosen').length === 3")  # its path, level by level

        page.value("(document.querySelector('#filter').focus(), 0)")
        page.type("prise < 3")
        page.until("!document.querySelector('#wrong').hidden")
        assert "prise" in page.value("document.querySelector('#wrong').textContent")
        page.press("Backspace", times=9)
        page.until(f"document.querySelector('#wrong').hidden && {QUIET}")

        page.click("#history li:first-child .actions button:last-child")  # remove
        page.until(f"{HISTORY}.length === 1 && {QUIET}")
        page.click("#clear")
        page.until(f"{HISTORY}.length === 0 && {QUIET}")
        assert page.value("document.activeElement.id") == "search"
        assert page.complaints() == []
        assert {address.split("/")[2] for address in page.requests() if address.startswith("http")} == {url.split("/")[2]}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_person_can_ask_in_words(tmp_path: Path) -> None:
    catalogue = shop_with_words(30)
    settings: dict[str, str] = {}
    with listening(catalogue) as url, Browser(tmp_path / "profile", width=1400) as page:
        page.open(url)
        page.until(QUIET)
        page.value("(document.querySelector('#preferences').open = true, 0)")
        for name, text in (("query", "red soap, not blue"), ("wish", "perfume")):
            page.click(f"#{name}")
            page.type(text)
            settings[name] = text
            ids = Recommender(catalogue).recommend([[]], 10, **settings)["item_id"].to_list()
            page.until(f"JSON.stringify({LISTED}) === {json.dumps(json.dumps(ids, separators=(',', ':')))} && {QUIET}")
        assert '"query":"red soap, not blue"' in page.value("document.querySelector('#call').textContent")
        page.click('#list [data-key^="why"]')
        page.until("document.querySelector('.why .note')")
        assert page.complaints() == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_person_can_say_what_kind_of_event_is_wanted(tmp_path: Path) -> None:
    catalogue = shop_with_columns(30)
    with listening(catalogue) as url, Browser(tmp_path / "profile", width=1400) as page:
        page.open(url)
        page.until(QUIET)
        page.value("(document.querySelector('#preferences').open = true, 0)")
        for name, value, request in (
            ("event_type", "buy", {"event_type": "buy"}),
            ("time", "1735516800", {"event_type": "buy", "time": 1735516800}),
        ):
            field = f"document.querySelector('#asked [name={name}]')"
            event = "change" if name == "event_type" else "input"
            page.value(f"{field}.value = '{value}'")
            page.value(f"{field}.dispatchEvent(new Event('{event}'))")
            ids = Recommender(catalogue).recommend([[]], 10, request=request)["item_id"].to_list()
            page.until(f"JSON.stringify({LISTED}) === {json.dumps(json.dumps(ids, separators=(',', ':')))} && {QUIET}")
        assert '"request":{"event_type":"buy","time":1735516800}' in page.value("document.querySelector('#call').textContent")
        page.click('#list [data-key^="why"]')
        page.until("document.querySelector('.why .note')")
        assert page.complaints() == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_person_can_ask_a_model_that_looks_at_times(tmp_path: Path) -> None:
    history, times = ["i3", "i1", "i4"], [10.0, 20.0, 500.0]
    catalogue = replace(shop_of_ids_by_times(), samples=(history,), sample_times=(times,))
    library = Recommender(catalogue)

    def ids(length: int, own: list[float]) -> str:
        listed = library.recommend([[*history[:2], "i7"][:length]], 10, times=[own])["item_id"].to_list()
        return f"JSON.stringify({LISTED}) === {json.dumps(json.dumps(listed, separators=(',', ':')))}"

    with listening(catalogue) as url, Browser(tmp_path / "profile", width=1400) as page:
        page.open(url)
        page.until(QUIET)
        page.value("document.querySelector('#samples').value = '0'")
        page.value("document.querySelector('#samples').dispatchEvent(new Event('change'))")
        page.until(f"{ids(2, times[:2])} && {QUIET}")
        assert page.value("location.hash") == "#item=i3&item=i1&time=10&time=20"
        page.click('#list [data-key^="why"]')
        page.until("document.querySelector('.why .part')")
        page.open(f"{url}#item=i3&item=i1&item=i7&time=10&time=20")
        page.until(f"{ids(3, [10, 20, 265])} && {QUIET}")  # the usual gap: the median of 10 and 480
        page.click("#history li:first-child .actions button:last-child")
        page.until(f"{HISTORY}.length === 2 && {QUIET}")
        assert page.value("location.hash") == "#item=i1&item=i7&time=20&time=265"
        assert page.value("document.querySelector('#wrong').hidden") is True
        assert page.complaints() == []


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_it_fits_a_phone_and_hostile_titles_stay_text(tmp_path: Path) -> None:
    with listening(boutique()) as url, Browser(tmp_path / "profile", width=400, height=800, dark=True) as page:
        page.open(f"{url}#item=i0&item=nobody&item=i1")
        page.until(QUIET)
        assert page.value("document.documentElement.scrollWidth") <= 400
        assert page.value("document.title") == "Try it"
        assert HOSTILE in page.value(HISTORY)
        assert "Not in the catalogue: nobody" in page.value("document.querySelector('#status').textContent")
        assert page.value("document.querySelectorAll('#list img, #history img').length") > 0
        page.click('#list [data-key^="why"]')
        page.until("document.querySelector('.why .part')")
        page.click("#preferences summary")
        page.value("document.querySelector('#samples').value = '1'")
        page.value("document.querySelector('#samples').dispatchEvent(new Event('change'))")
        page.until(f"{HISTORY}.join() === 'Blue shoe number 9,Red shoe number 8' && {QUIET}")
        assert "Red shoe number 7" in page.value("document.querySelector('#next').textContent")
        assert page.value("document.documentElement.scrollWidth") <= 400
        assert page.complaints() == []


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_scripts_of_the_pages_parse() -> None:
    for script in sorted((Path(genrec.__file__).parent / "reports").glob("*.js")):
        done = subprocess.run(["node", "--check", str(script)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
