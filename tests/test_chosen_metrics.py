"""``evaluate.metrics``: a metric of a user's package stands in metrics.json, terminal, report and comparison, by its label."""

from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

import genrec
import genrec.metrics
from genrec.engine import components
from genrec.engine.config import compose
from genrec.evaluation.measure import METRICS
from genrec.reports.comparison import comparison_page
from genrec.reports.evaluated_runs import find_runs
from genrec.reports.standings import standings
from genrec.reports.text_tables import print_comparison

WORLD = ("data=demo", "data.num_users=150", "data.num_items=80", "data.events_per_user=6.0", "evaluate=baselines")
SOURCE = """
from typing import ClassVar

import numpy as np


class TopOne:
    label: ClassVar[str] = "At the very top"

    def from_hits(self, hits, k):
        return hits.per_user(hits.listed_until(1))


class Length:
    label: ClassVar[str] = "Length of list"

    def from_lists(self, inputs, k):
        return inputs.lists.lengths.astype(float)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "own_metrics"
    (folder / "conf" / "metric").mkdir(parents=True)
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder / "parts.py").write_text(SOURCE, encoding="utf-8")
    for name, target in (("top", "TopOne"), ("length", "Length")):
        text = f"# Mine.\n_target_: own_metrics.parts.{target}\n"
        (folder / "conf" / "metric" / f"{name}.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(components, "_allowed", {"genrec"})
    monkeypatch.setattr(sys, "path", [*sys.path])
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_metrics")]:
        del sys.modules[name]


def test_a_metric_of_a_package_stands_everywhere(package: Path) -> None:
    usual = genrec.run(name="usual", quiet=True, overrides=WORLD)
    chosen = ("plugins=[own_metrics]", "evaluate.metrics=[default,top,length]")
    run = genrec.run(name="mine", quiet=True, overrides=[*WORLD, *chosen])
    before, after = (json.loads((r.artifact("evaluation").path / "metrics.json").read_text("utf-8")) for r in (usual, run))
    assert "labels" not in before
    assert after["labels"]["top"] == "At the very top"
    assert list(after["labels"]) == [*METRICS, "top", "length"]
    assert {key: after["model"][key] for key in before["model"]} == before["model"], "the others are counted as ever"
    assert after["model"]["test/top@10"] == after["model"]["test/recall@1"]
    assert after["bounds"]["bayes"]["test/top@5"] == after["bounds"]["bayes"]["test/recall@1"]
    assert after["model"]["test/length@10"] == 10
    assert "test/length@5" not in after["model"], "counted at the headline k"
    assert "test/top@10" in after["intervals"]
    assert "top@10" in pl.read_parquet(run.artifact("evaluation").path / "per_user_baselines.parquet").columns

    print_comparison([("mine", run.artifact("evaluation"))], Console(file=(text := io.StringIO()), width=200))
    assert f"Length of list {10:.4f}" in text.getvalue()
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert "At the very top@10" in report
    assert "Length of list" in report
    page = comparison_page(standings(find_runs([str(run.path), str(usual.path)]), metric="ndcg@10"))
    assert "ndcg" in page.lower()
    alone = comparison_page(standings(find_runs([str(run.path)]), metric="top@10"))
    assert "test At the very top@10" in alone


def test_the_headline_metrics_are_needed_and_others_may_go(package: Path) -> None:
    run = genrec.run(name="few", quiet=True, overrides=[*WORLD, "evaluate.metrics=[ndcg,recall]"])
    model = json.loads((run.artifact("evaluation").path / "metrics.json").read_text("utf-8"))["model"]
    assert {key.partition("/")[2].partition("@")[0] for key in model} == {"recall", "ndcg"}
    with pytest.raises(genrec.errors.ConfigError, match=r"evaluate\.metrics: expected recall and ndcg among them"):
        compose(["evaluate.metrics=[recall]"])


def test_tables_of_any_kind() -> None:
    table = {"user_id": ["ann", "ann", "bob"], "item_id": ["tea", "milk", "tea"], "score": [2.0, 1.0, 1.0]}
    targets = {"user_id": ["ann", "bob"], "item_id": ["milk", "jam"]}
    assert genrec.metrics.recall(pl.DataFrame(table).to_arrow(), pl.DataFrame(targets).to_arrow(), 2) == 0.5
    assert genrec.metrics.mrr(pl.DataFrame(table), pl.DataFrame(targets), 2) == 0.25
