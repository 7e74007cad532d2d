import io
import json

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from small_evaluation import evaluated, metrics_of, recommended, walks

from genrec.data.demo_world import WORLD_FILE
from genrec.dataset import Dataset
from genrec.pages.verdict import verdict
from genrec.stages import evaluate, prepare
from genrec.stages.stage import Runtime, StageRun


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    dataset = walks()
    return evaluated(tmp_path_factory.mktemp("walk"), dataset, recommended(dataset))


def printed(*runs):
    console = Console(file=io.StringIO(), width=80)
    evaluate.print_comparison(runs, console)
    return console.file.getvalue()


def test_a_floor_and_a_model_with_the_same_lists_get_the_same_figures(walk):
    metrics = metrics_of(walk)
    assert metrics["model"] == pytest.approx(metrics["floors"]["transitions"])
    assert metrics["best_floor"]["test"]["name"] == "transitions"
    assert metrics["best_floor"]["test"]["lead"] == 0
    assert "cannot be told from the best floor, transitions" in verdict("walk", metrics)
    assert metrics["model"]["test/recall@10"] > metrics["floors"]["popularity"]["test/recall@10"]


def test_metrics_hold_every_key_with_an_interval_around_it(walk):
    metrics = metrics_of(walk)
    names = {f"{split}/{name}@{k}" for split in ("val", "test") for name in ("recall", "ndcg", "mrr") for k in (1, 5, 10)}
    assert set(metrics["model"]) == set(metrics["intervals"]) == names  # lists hold 10 items: nothing at 20
    for key, (low, high) in metrics["intervals"].items():
        assert low <= metrics["model"][key] <= high
    assert metrics["users"] == {"validation": 60, "test": 60}
    assert metrics["rules"]["exclude_seen"] is True


def test_per_user_figures_average_to_the_metrics(walk):
    per_user = pl.read_parquet(walk.path / "per_user.parquet")
    means = per_user.filter(pl.col("split") == "test").drop("split", "user_id").mean().row(0, named=True)
    assert {f"test/{key}": value for key, value in means.items()} == pytest.approx(
        {key: value for key, value in metrics_of(walk)["model"].items() if key.startswith("test/")}
    )


def test_missing_and_short_lists_miss_and_are_told(tmp_path):
    dataset, told = walks(), []
    table = recommended(dataset)
    halved = table.filter(~pl.col("user_id").is_in([f"u{u}" for u in range(30)]))
    first = table.filter((pl.col("user_id") == "u0") & (pl.col("rank") == 1))
    artifact = evaluated(tmp_path, dataset, pl.concat([halved, first]), floors={}, say=told.append)
    per_user = pl.read_parquet(artifact.path / "per_user.parquet").filter(pl.col("split") == "test")
    assert per_user["user_id"].to_list() == [f"u{u}" for u in range(60)]
    assert per_user["recall@10"][1:30].sum() == 0
    assert per_user["recall@10"][30:].sum() > 0
    assert any("30 of 60 test users have a list shorter than 10 items" in line for line in told)


def test_targets_that_the_seen_item_rule_hides_are_counted(tmp_path):
    dataset, told = walks(repeats=True), []
    hidden = sum(dataset.targets("test")[u][0] in dataset.histories("test")[u] for u in range(60))
    assert hidden > 0
    evaluated(tmp_path / "a", dataset, recommended(dataset), floors={}, say=told.append)
    assert any(f"{hidden} of 60 test targets stand in their user's history" in line for line in told)
    told.clear()
    kept = recommended(dataset, exclude_seen=False)
    evaluated(tmp_path / "b", dataset, kept, exclude_seen=False, floors={}, say=told.append)
    assert not any("stand in their user's history" in line for line in told)


def test_the_table_fits_80_columns_and_shows_floors_once(walk, tmp_path):
    other = evaluated(tmp_path, walks(seed=1), recommended(walks(seed=1)), exclude_seen=False)
    text = printed(("first", walk), ("second,tokenizer=rqvae", walk), ("third", other))
    table = text.split("first cannot be told")[0].splitlines()
    assert max(len(line) for line in table if "items (dataset" not in line) <= 80
    assert sum(line.startswith("popularity") for line in table) == 2  # once for each rule of the game
    assert "seen items excluded" in text
    assert "seen items kept" in text
    shown = next(line for line in table if line.startswith("first")).split()
    assert shown[4] == f"{metrics_of(walk)['model']['test/ndcg@10']:.4f}"
    assert "third" in text.splitlines()[-1]


def test_the_verdict_follows_the_interval_of_the_lead(walk):
    metrics = metrics_of(walk)
    best = metrics["best_floor"]["test"]
    best |= {"lead": 0.02, "interval": [0.01, 0.03]}
    assert "walk beats the best floor" in verdict("walk", metrics)
    best |= {"lead": -0.02, "interval": [-0.03, -0.01]}
    assert "walk does not beat the best floor" in verdict("walk", metrics)
    metrics["bounds"] = {"bayes": {"test/ndcg@10": 2 * metrics["model"]["test/ndcg@10"]}}
    assert "It reaches 50% of the Bayes bound" in verdict("walk", metrics)


def test_validation_alone_can_be_evaluated(tmp_path):
    dataset = walks()
    table = recommended(dataset).filter(pl.col("split") == "validation")
    artifact = evaluated(tmp_path, dataset, table)
    assert all(key.startswith("val/") for key in metrics_of(artifact)["model"])
    assert "validation NDCG@10" in printed(("walk", artifact))


def test_the_demo_world_gives_bounds_above_every_floor(tmp_path):
    shop = {"_target_": "genrec.data.demo.DemoShop", "num_users": 400, "num_items": 240, "seed": 1}
    config = {
        "data": shop,
        "filters": {"_target_": "genrec.data.filters.Filters"},
        "order": {"_target_": "genrec.data.order.Order"},
        "split": {"_target_": "genrec.data.leave_one_out.LeaveOneOut"},
    }

    def prepared(folder):
        prepare.STAGE.build(StageRun(config, {}, folder, folder, lambda line: None, Runtime()))

    folder = tmp_path / "prepared"
    folder.mkdir()
    prepared(folder)
    assert (folder / WORLD_FILE).exists()
    dataset = Dataset.load(folder)
    metrics = metrics_of(evaluated(tmp_path / "runs", dataset, recommended(dataset), save=prepared))
    floors = max(row["test/ndcg@10"] for row in metrics["floors"].values())
    assert floors < metrics["bounds"]["bayes"]["test/ndcg@10"] <= metrics["bounds"]["oracle"]["test/ndcg@10"] + 0.02


def test_several_targets_have_no_exact_bound(tmp_path):
    told = []
    facts = {"test": {"targets": 20, "users": 10}}
    (tmp_path / WORLD_FILE).write_bytes(b"")
    dataset = walks()
    object.__setattr__(dataset, "folder", tmp_path)
    assert evaluate._exact_scores(dataset, facts, told.append) == {}
    assert "several" in told[0]


def test_the_same_inputs_give_the_same_bytes(walk, tmp_path):
    dataset = walks()
    again = evaluated(tmp_path, dataset, recommended(dataset))
    for name in ("metrics.json", "per_user.parquet"):
        assert (again.path / name).read_bytes() == (walk.path / name).read_bytes()


def test_metrics_json_is_strict_json(walk):
    def refuse(constant):
        raise AssertionError(constant)

    metrics = json.loads((walk.path / "metrics.json").read_text(), parse_constant=refuse)
    assert np.isfinite(list(metrics["model"].values())).all()
