"""What a notebook shows of a run and of a recommender: figures beside baselines, everything escaped, nothing from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import small_runs
import small_shop

import genrec
from genrec.engine.runs import Run
from genrec.recommender.item_table import ItemTable


def cells(html: str) -> list[list[str]]:
    """The rows of all tables, as a browser reads them."""
    rows: list[list[str]] = []

    class Reader(HTMLParser):
        inside = False

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag in {"table", "tr", "th", "td", "b", "br", "code"}
            assert {name for name, _ in attrs} <= {"style"}
            if tag == "tr":
                rows.append([])
            self.inside = tag in ("td", "th")
            if self.inside:
                rows[-1].append("")

        def handle_data(self, data: str) -> None:
            if self.inside:
                rows[-1][-1] += data

        def handle_endtag(self, tag: str) -> None:
            self.inside = False

    Reader().feed(html)
    return rows


def test_a_run_shows_its_figures_beside_the_baselines(tmp_path: Path) -> None:
    values = small_runs.scores(0.4)
    run = Run(small_runs.finished(tmp_path, "a", values, baselines={"<b>shop & co": values / 2}))
    html = run._repr_html_()
    rows = {row[0]: row[1:] for row in cells(html)}
    keys = rows[""]
    assert rows["model of a"][keys.index("test/ndcg@10")] == f"{run.metrics['model']['test/ndcg@10']:.4f}"
    assert rows["<b>shop & co"][keys.index("test/ndcg@10")] == f"{values.mean() / 2:.4f}"
    assert "evaluation" in html
    assert not re.search(r"src=|href=|http|<script", html)


def test_a_run_shows_what_it_has_when_it_is_damaged_or_empty(tmp_path: Path) -> None:
    run = Run(small_runs.finished(tmp_path, "a", small_runs.scores(0.4)))
    file = run.path / "evaluation" / "metrics.json"
    file.write_text(file.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert "metrics.json" in run._repr_html_()
    assert "nothing yet" in Run(tmp_path / "<none>")._repr_html_()
    assert "&lt;none&gt;" in Run(tmp_path / "<none>")._repr_html_()


def test_a_recommender_shows_what_it_serves() -> None:
    catalogue = small_shop.shop(12)
    frame = catalogue.table.frame.with_columns(pl.lit(1).alias("<script>"))
    recommender = genrec.Recommender(replace(catalogue, table=ItemTable(frame, catalogue.table.sids)))
    recommender.remove_items(["i3"])
    rows = dict(cells(recommender._repr_html_()))
    assert rows["items"] == "12, of which 0 came later and 1 are not recommended"
    assert rows["semantic IDs"] == "6 x 7 x 8 codes"
    assert rows["columns"] == "item_id, even, <script>"
    assert rows["model"] == "ArbitraryLogits"
