"""`genrec audit`: the files it leaves, what it prints, and a page that stands on its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest
from html_pages import parsed
from planted import days_by_id

import genrec
from genrec.cli import main


def write_shop(folder: Path) -> list[str]:
    """The shop with sorted day ties, as tables; returns the overrides that read it."""
    shop = days_by_id()
    columns = {
        "user_id": shop.user_ids.gather(shop.events.user_idx),
        "item_id": shop.item_ids.gather(shop.events.item_idx),
        "timestamp": shop.timestamps,
    }
    pl.DataFrame(columns).write_parquet(folder / "events.parquet")
    shop.items.with_columns(pl.col("title") + " <b>&").write_parquet(folder / "items.parquet")
    return ["data=tables", f"data.interactions={folder}/events.parquet", f"data.items={folder}/items.parquet"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("shop")
    return folder, [*write_shop(folder), f"paths.runs={folder}/runs", "name=shop"]


def test_python_gets_the_same_audit(shop: tuple[Path, list[str]]) -> None:
    folder, overrides = shop
    told = genrec.audit(overrides=overrides, quiet=True)
    assert told["figures"] == json.loads((folder / "runs" / "shop" / "audit.json").read_text(encoding="utf-8"))["figures"]
    assert "the order leaks" in told["verdict"].lower()


def test_it_writes_and_prints_a_verdict(shop: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    folder, overrides = shop
    assert main(["audit", *overrides]) == 0
    told = capsys.readouterr().out
    run = folder / "runs" / "shop"
    assert told.endswith(f"{run}/audit.json\n{run}/audit.html\n")
    audit = json.loads((run / "audit.json").read_text(encoding="utf-8"))
    assert audit["verdict"] in told
    assert "the order leaks: 100% of the neighbours with equal times" in audit["verdict"].lower()
    for finding in audit["findings"]:
        assert finding["title"].split()[0] in told
    assert audit["dataset"]["order"]["ties"] == "input_order"

    html = (run / "audit.html").read_text(encoding="utf-8")
    page = parsed(html)
    assert not {"script", "link", "img", "iframe"} & {name for name, _ in page.tags}
    anchors = {attributes["href"] for name, attributes in page.tags if name == "a"}
    ids = {f"#{attributes['id']}" for _, attributes in page.tags if "id" in attributes}
    assert anchors == ids == {f"#{finding['key']}" for finding in audit["findings"]}
    assert "url(" not in html
    assert "✕ serious" in html
    assert "order.ties=random" in re.sub("<[^>]+>", "", html)
    charts = [attributes for name, attributes in page.tags if name == "svg" and "aria-hidden" not in attributes]
    assert len(charts) >= 6
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)


def test_shuffled_ties_take_the_leak_away(shop: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    folder, overrides = shop
    assert main(["audit", *overrides, "order.ties=random", "name=random"]) == 0
    audit = json.loads((folder / "runs" / "random" / "audit.json").read_text(encoding="utf-8"))
    grades = {finding["key"]: finding["grade"] for finding in audit["findings"]}
    assert grades["ids"] == "fine"
    assert grades["ties"] == "serious"
    assert "the order leaks" not in audit["verdict"].lower()


def test_nothing_held_out_is_one_line(shop: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    _, overrides = shop
    assert main(["audit", *overrides, "split=all", "name=all"]) == 2
    assert capsys.readouterr().err.startswith("split: expected events to learn from, and test targets")
