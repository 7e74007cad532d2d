"""The explorer: what is sent, how it is embedded, and, where Chromium is at hand, what a browser makes of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from html_pages import parsed
from small_evaluation import walks
from small_world import sids_of

from genrec.cli import _dispatch
from genrec.core.dataset import Dataset
from genrec.core.sids import SIDTable
from genrec.engine.artifacts import Store
from genrec.engine.runs import STORE, Run
from genrec.reports.explorer import Explored, catalog_of, explorer_page, payload, read_run, short_titles, tree
from genrec.reports.page import embedded

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "</script><script>document.title='taken'</script><!--<img src=x onerror=alert(1)> & \u2028 \"'"


def explored(name: str = "walk", *, seed: int = 0, title: str = HOSTILE, items: int = 30) -> Explored:
    dataset = walks(items=items)
    table = dataset.items.with_columns(
        title=pl.Series([title, *(f"Red shoe number {row}" for row in range(1, items))]),
        categories=pl.Series(["Shop > Shoes" if row % 2 else "Shop > Hats, <b" for row in range(items)]),
    )
    dataset = Dataset(table, dataset.users, dataset.events, dataset.train_ends, dataset.validation_ends, facts=dataset.facts)
    vectors = np.random.default_rng(seed).normal(size=(items, 4)).astype(np.float32)
    sids = sids_of(items, (3, 4, 8), seed=seed)
    return Explored(name, dataset, SIDTable(sids.codes, sids.sizes, collision_level=2), vectors)


def sent(html: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_the_page_is_well_formed_and_self_contained(names):
    html = explorer_page([explored(name, seed=seed) for seed, name in enumerate(names)])
    page = parsed(html)
    assert [name for name, _ in page.tags].count("script") == 2
    for name, attributes in page.tags:
        assert name not in {"link", "img", "iframe"}
        assert not {"src", "href"} & set(attributes)
    outside = html.replace("http://www.w3.org/2000/svg", "")
    for word in ("http://", "https://", "@import", "url(", "fetch(", "XMLHttpRequest", "import(", "innerHTML", "eval("):
        assert word not in outside


def test_what_is_sent_is_what_there_was():
    run = explored()
    found = sent(explorer_page([run]))
    items, sent_tree = found["items"], found["runs"][0]["tree"]
    ids = run.dataset.item_ids.to_list()
    codes = {items["ids"][item]: [level[row] for level in sent_tree["codes"]] for row, item in enumerate(sent_tree["item"])}
    assert codes == dict(zip(ids, run.sids.codes.tolist(), strict=True))
    counts = {items["ids"][item]: count for item, count in zip(sent_tree["item"], sent_tree["events"], strict=True)}
    assert counts == dict(zip(ids, run.dataset.train_counts.tolist(), strict=True))
    assert dict(zip(items["ids"], items["titles"], strict=True))[ids[0]] == HOSTILE
    assert found["labels"] == {"category": ["<b", "Shoes"]}
    assert sorted(zip(*sent_tree["codes"], strict=True)) == list(zip(*sent_tree["codes"], strict=True))


def test_neighbours_are_the_nearest():
    run = explored()
    found = sent(explorer_page([run]))
    row = {item_id: number for number, item_id in enumerate(found["items"]["ids"])}
    unit = run.vectors / np.linalg.norm(run.vectors, axis=1, keepdims=True)
    near = np.argsort(-(unit[7] @ unit.T))[1:6]
    start = row["i7"] * 5
    assert found["runs"][0]["neighbours"][start : start + 5] == [row[f"i{item}"] for item in near]


def test_hostile_titles_stay_data():
    html = explorer_page([explored()])
    assert "<img" not in html
    assert html.count("</script>") == 2
    data = {"a": HOSTILE, "b": [1, 2]}
    assert json.loads(embedded(data)) == data
    assert "<" not in embedded(data)


@pytest.mark.parametrize("named", [0, 1, 17, 200])
def test_counting_some_items_changes_no_total(named):
    random = np.random.default_rng(named)
    codes, events = random.integers(0, 4, (200, 3)), random.integers(0, 9, 200)
    rows = np.full(200, -1)
    rows[random.permutation(200)[:named]] = np.arange(named)
    found = tree(codes, events, rows)
    for depth in (1, 2):
        for prefix in np.unique(codes[:, :depth], axis=0).tolist():
            there = (codes[:, :depth] == prefix).all(axis=1)
            of_named = [list(row) == prefix for row in zip(*found["codes"][:depth], strict=True)]
            of_rest = [list(row) == prefix for row in zip(*found["rest"]["codes"][:depth], strict=True)]
            assert sum(of_named) + int(np.dot(of_rest, found["rest"]["items"])) == there.sum()
            total = np.dot(of_named, found["events"]) + np.dot(of_rest, found["rest"]["events"])
            assert int(total) == events[there].sum()


def test_the_most_popular_items_are_named():
    run = explored()
    names = catalog_of([run], limit=5)["item_id"].to_list()
    counts = dict(zip(run.dataset.item_ids.to_list(), run.dataset.train_counts.tolist(), strict=True))
    assert sorted((counts[name] for name in names), reverse=True) == sorted(counts.values(), reverse=True)[:5]


def test_long_titles_are_cut_until_they_fit():
    titles = pl.Series(["ä" * 300, "short", ""])
    assert short_titles(titles) == ["ä" * 139 + "…", "short", ""]
    assert short_titles(titles, limit=60) == ["ä" * 19 + "…", "short", ""]


def test_a_catalogue_of_ids_alone_can_be_explored():
    run = explored()
    bare = replace(run.dataset, items=run.dataset.items.select("item_id"))
    html = explorer_page([replace(run, dataset=bare, vectors=None)])
    found = sent(html)
    assert set(found["items"]["titles"]) == {""}
    assert (found["labels"], found["colours"]) == ({}, ["popularity"])
    assert found["runs"][0]["neighbours"] is None
    assert "category left" not in parsed(html).texts


def test_two_runs_share_one_list_of_items():
    found = payload([explored("a"), explored("b", seed=1, items=20)])
    assert len(found["items"]["ids"]) == 30
    assert [len(run["tree"]["item"]) for run in found["runs"]] == [30, 20]


def saved_run(root: Path, run: Explored) -> Run:
    """On disk, without an encoder and a tokenizer."""
    store, folder = Store(root / STORE), Run(root / run.name)

    def dataset(path: Path, work: Path) -> dict:
        run.dataset.save(path)
        return {}

    def sids(path: Path, work: Path) -> dict:
        run.sids.save(path, run.dataset.item_ids)
        return {}

    store.make("dataset", "d1", dataset, stage="prepare", config={}, inputs={})
    store.make("sids", "s1", sids, stage="assign", config={}, inputs={"dataset": "d1"})
    folder.start({}, [], {})
    folder.link("dataset", "d1")
    folder.link("sids", "s1")
    return folder


def test_the_command_writes_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = saved_run(tmp_path / "runs", explored())
    assert read_run(run).vectors is None
    assert _dispatch("explore", ["walk"]) == 0
    assert capsys.readouterr().out.strip() == "runs/walk/explorer.html"
    parsed((tmp_path / "runs/walk/explorer.html").read_text(encoding="utf-8"))
    assert _dispatch("explore", ["walk", "walk", "--out", "pages/two.html"]) == 0
    page = parsed((tmp_path / "pages/two.html").read_text(encoding="utf-8"))
    assert [attributes.get("class") for _, attributes in page.tags].count("view") == 2


def opened(tmp_path: Path, html: str, hash_: str = "", script: str = "") -> str:
    """What a browser shows, after the page's script and another."""
    file = tmp_path / "page.html"
    file.write_text(html.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1200,1600"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--enable-logging=stderr"]
    done = subprocess.run(
        [str(CHROMIUM), *options, "--dump-dom", f"file://{file}#{hash_}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_links_open_what_they_name(tmp_path):
    run, other = explored("a"), explored("b", seed=1)
    html = explorer_page([run, other])
    code = int(run.sids.codes[0, 0])
    inside = int((run.sids.codes[:, 0] == code).sum())

    dom = opened(tmp_path, html, f"prefix={code}")
    assert f"<h3>Prefix {code}</h3>" in dom
    assert f"<dd>{inside} (" in dom
    assert re.search(r'data-ready="\d+"', dom)

    dom = opened(tmp_path, html, "item=i0")
    assert "<h3>&lt;/script&gt;&lt;script&gt;" in dom
    assert "<title>Semantic IDs of a and b</title>" in dom
    assert dom.count('class="holds"') == 2
    for table in (run, other):
        assert "Path " + ".".join(map(str, table.sids.codes[0])) in dom

    there = other.sids.codes[run.sids.codes[:, 0] == code, 0]
    assert f"In b: {len(set(there))} prefix" in opened(tmp_path, html, f"prefix={code}")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_clicks_and_keys_do_what_they_should(tmp_path):
    run = explored("a")
    html = explorer_page([run])
    code = int(run.sids.codes[0, 0])
    click = "document.querySelector('.tiles-of button').click()"
    assert re.search(r"<h3>Prefix \d</h3>", opened(tmp_path, html, "", click))
    key = "document.querySelector('.map').dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))"
    assert "<h3>All items</h3>" in opened(tmp_path, html, f"prefix={code}", key)
    look = "const s = document.getElementById('search'); s.value = 'shoe 17'; s.dispatchEvent(new Event('input'))"
    assert "Red shoe number 17" in opened(tmp_path, html, "", look).partition('id="results"')[2].partition("</ul>")[0]
    switch = "document.querySelector('[data-value=popularity]').click()"
    assert re.search(r'data-value="popularity" aria-pressed="true"', opened(tmp_path, html, "", switch))
    assert "No item nowhere is known by name here." in opened(tmp_path, html, "item=nowhere")
