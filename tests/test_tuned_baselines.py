"""Baselines in an evaluation: settings chosen on validation and stored, one of them in the model's place."""

from __future__ import annotations

import json

import polars as pl
import pytest

from genrec.baselines.lib.setting_search import ValidationSample, choose
from genrec.baselines.pair_counts import PairCounts
from genrec.baselines.transitions import Transitions
from genrec.engine.config import compose
from genrec.engine.pipeline import execute
from genrec.errors import ConfigError
from genrec.reports.report import write_report
from tests.small_evaluation import evaluated, metrics_of, recommended, walks

TARGET = "genrec.baselines.{}"
OPEN = {
    "popularity": {"_target_": TARGET.format("popularity.Popularity")},
    "transitions": {"_target_": TARGET.format("transitions.Transitions"), **dict.fromkeys(Transitions.grid)},
    "pair_counts": {"_target_": TARGET.format("pair_counts.PairCounts"), **dict.fromkeys(PairCounts.grid)},
}


@pytest.fixture(scope="module")
def dataset():
    return walks(users=200, repeats=True)


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_what_was_chosen_is_stored_and_measured(tmp_path, dataset, exclude_seen):
    told: list[str] = []
    lists = recommended(dataset, exclude_seen=exclude_seen)
    made = evaluated(tmp_path, dataset, lists, exclude_seen=exclude_seen, baselines=OPEN, search_users=120, log=told.append)
    metrics = metrics_of(made)
    sample = ValidationSample.draw(dataset, exclude_seen=exclude_seen, num_users=120, seed=0)
    for name, component in (("transitions", Transitions), ("pair_counts", PairCounts)):
        expected = choose(component(**dict.fromkeys(component.grid)), dataset, sample)
        stored = metrics["baseline_settings"][name]
        assert stored["settings"] == expected.settings
        assert stored["val/ndcg@10"] == pytest.approx(expected.ndcg)
        assert stored["users"] == 120
        assert any(line.startswith(f"{name}: {next(iter(expected.settings))} ") for line in told)
        fixed = evaluated(
            tmp_path / name,
            dataset,
            lists,
            exclude_seen=exclude_seen,
            baselines={name: {"_target_": OPEN[name]["_target_"], **expected.settings}},
        )
        figures = metrics_of(fixed)["baselines"][name]
        assert figures == {key: metrics["baselines"][name][key] for key in figures}
    assert metrics["floors"] == metrics["baselines"], "the former name, for scripts"


def test_the_users_file_of_the_baselines_has_their_figures(tmp_path, dataset):
    made = evaluated(tmp_path, dataset, recommended(dataset), baselines=OPEN)
    table = pl.read_parquet(made.path / "per_user_baselines.parquet")
    metrics = metrics_of(made)
    for name in OPEN:
        for split, short in (("test", "test"), ("validation", "val")):
            rows = table.filter((pl.col("baseline") == name) & (pl.col("split") == split))
            users = metrics["users"][split]
            for key in ("recall@10", "ndcg@5", "mrr@10"):
                assert rows[key].sum() / users == pytest.approx(metrics["baselines"][name][f"{short}/{key}"])


@pytest.mark.parametrize("model", ["best", "transitions", "pair_counts", "popularity"])
def test_a_baseline_in_the_models_place(tmp_path, dataset, model):
    made = evaluated(tmp_path, dataset, pl.DataFrame({"split": []}), baselines=OPEN, model=model)
    metrics = metrics_of(made)
    name = metrics["measured"]
    if model == "best":
        assert name == max(OPEN, key=lambda each: metrics["baselines"][each]["val/ndcg@10"])
    else:
        assert name == model
    assert metrics["rules"]["source"] == "baseline"
    assert {key: metrics["model"][key] for key in metrics["baselines"][name]} == pytest.approx(metrics["baselines"][name])
    assert metrics["best_baseline"]["test"]["name"] != name, "it is not held against itself"
    lists = pl.read_parquet(made.path / "recommendations.parquet")
    assert set(lists["split"]) == {"validation", "test"}


def test_what_cannot_be_fitted_is_left_out_and_said(tmp_path, dataset):
    baselines = OPEN | {
        "linear_text": {"_target_": TARGET.format("linear_text.LinearText")},
        "ease": {"_target_": TARGET.format("ease.EASE"), "max_items": 3},
    }
    told: list[str] = []
    metrics = metrics_of(evaluated(tmp_path, dataset, recommended(dataset), baselines=baselines, log=told.append))
    assert set(metrics["baselines"]) == set(OPEN)
    assert {"linear_text", "ease"} <= set(metrics["left_out"])
    assert "ease: left out, the catalogue has 30 items, more than max_items = 3" in told
    with pytest.raises(ConfigError, match="got ease"):
        evaluated(tmp_path / "b", dataset, recommended(dataset), baselines=baselines, model="ease")


def test_the_baselines_alone_train_nothing(tmp_path):
    config = compose(
        [
            "evaluate=baselines",
            "data.num_users=120",
            "data.num_items=240",
            f"paths.runs={json.dumps(str(tmp_path))}",
            "name=counted",
        ]
    )
    run = execute(config, log=lambda line: None, report=write_report)
    assert set(run.kinds) == {"dataset", "encoder", "evaluation"}
    assert {"linear_text", "ease", "pair_counts", "item_knn", "transitions", "popularity"} == set(run.metrics["baselines"])
    assert (run.path / "report.html").exists()


def test_the_baselines_need_no_table_of_the_items(tmp_path):
    file = tmp_path / "events.csv"
    rows = [f"u{user},i{(user + step) % 9},{step}" for user in range(40) for step in range(5)]
    file.write_text("user_id,item_id,timestamp\n" + "\n".join(rows), encoding="utf-8")
    places = [f"data.interactions={json.dumps(str(file))}", f"paths.runs={json.dumps(str(tmp_path / 'runs'))}"]
    run = execute(compose(["data=tables", "evaluate=baselines", "name=bare", *places]), log=lambda line: None)
    assert set(run.kinds) == {"dataset", "evaluation"}
    assert "linear_text" in run.metrics["left_out"]
    assert "pair_counts" in run.metrics["baselines"]
