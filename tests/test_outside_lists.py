"""Tables of other programs: read, checked, and measured like the run's own."""

import json

import numpy as np
import polars as pl
import pytest
from small_evaluation import evaluated, metrics_of, recommended, walks

import genrec
from genrec.engine.config import compose
from genrec.engine.pipeline import needed_stages, plan


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    dataset = walks()
    return metrics_of(evaluated(tmp_path_factory.mktemp("own"), dataset, recommended(dataset), ks=(1, 5, 10)))


def write(table, path):
    {".parquet": table.write_parquet, ".csv": table.write_csv, ".jsonl": table.write_ndjson}[path.suffix](path)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_the_same_lists_get_the_same_figures(own, tmp_path, suffix):
    dataset = walks()
    file = write(recommended(dataset).sample(fraction=1.0, shuffle=True, seed=0), tmp_path / f"lists{suffix}")
    artifact = evaluated(tmp_path / "runs", dataset, pl.DataFrame(), file=file, ks=(1, 5, 10))
    metrics = metrics_of(artifact)
    assert metrics["rules"]["source"] == "file"
    for part in ("model", "baselines", "intervals", "best_baseline", "slices"):
        assert metrics[part] == own[part]
    listed = pl.read_parquet(artifact.path / "recommendations.parquet")
    assert listed.height == recommended(dataset).height


def test_scores_are_enough_and_a_table_without_splits_is_for_the_test_part(own, tmp_path):
    dataset, told = walks(), []
    table = recommended(dataset).filter(pl.col("split") == "test").select("user_id", "item_id", "score")
    metrics = metrics_of(
        evaluated(tmp_path, dataset, table, file=write(table, tmp_path / "a.csv"), ks=(1, 5, 10), log=told.append)
    )
    assert metrics["model"] == {key: value for key, value in own["model"].items() if key.startswith("test/")}
    assert any("no column split" in line for line in told)


def test_integer_ids_are_ids(tmp_path):
    dataset = walks()
    object.__setattr__(dataset, "items", dataset.items.with_columns(item_id=pl.int_range(30).cast(pl.String)))
    table = recommended(dataset).with_columns(pl.col("item_id").cast(pl.Int64))
    metrics = metrics_of(evaluated(tmp_path, dataset, table, file=write(table, tmp_path / "a.parquet")))
    assert metrics["model"]["test/recall@10"] > 0.5
    assert metrics["warnings"] == []


def test_strangers_and_cut_ties_are_told_and_keep_their_places(tmp_path):
    dataset, told = walks(), []
    table = recommended(dataset).filter(pl.col("split") == "test", pl.col("rank") <= 10).drop("tie_start", "tie_size")
    shifted = table.with_columns(pl.col("rank") + 1)
    first = table.filter(pl.col("rank") == 1).with_columns(item_id=pl.lit("new"), score=pl.lit(99.0))
    nobody = first.head(1).with_columns(user_id=pl.lit("nobody"))
    lists = pl.concat([shifted, first, nobody])
    metrics = metrics_of(evaluated(tmp_path, dataset, lists, file=write(lists, tmp_path / "a.parquet"), log=told.append))
    assert metrics["model"]["test/recall@1"] == 0
    warnings = "\n".join(metrics["warnings"])
    assert "1 of 61 users of the table are not in the dataset (nobody" in warnings
    assert "items of the table are not in the dataset (new" in warnings
    assert "lists are cut between equal scores, of 60 test users" in warnings
    assert all(f"WARNING: {line}" in told for line in metrics["warnings"])


def test_lists_without_seen_items_are_doubted_when_they_might_hold_them(tmp_path):
    dataset = walks(repeats=True)
    file = write(recommended(dataset), tmp_path / "a.parquet")
    metrics = metrics_of(evaluated(tmp_path, dataset, pl.DataFrame(), file=file, exclude_seen=False, baselines={}))
    assert any("recommend.exclude_seen=true" in line for line in metrics["warnings"])


def test_only_prepare_and_evaluate_run_and_the_content_counts(tmp_path):
    shop = ["data.num_users=60", "data.num_items=240", f"paths.runs={tmp_path / 'runs'}", "evaluate.draws=50", "name=other"]
    shop += ["evaluate.ks=[5]"]
    run = genrec.run(until="prepare", overrides=shop, quiet=True)
    interactions = pl.read_parquet(run.path / "dataset" / "interactions.parquet")
    users, items = interactions["user_id"].unique().sort(), interactions["item_id"].unique().sort()
    rng = np.random.default_rng(0)
    rows = []
    for user in users:
        had = set(interactions.filter(user_id=user, part="train")["item_id"])
        had |= set(interactions.filter(user_id=user, part="validation")["item_id"])
        fresh = [item for item in items if item not in had]
        rows += [(user, str(item), 1.0 / rank) for rank, item in enumerate(rng.permutation(fresh)[:5], start=1)]
    file = write(pl.DataFrame(rows, schema=["user_id", "item_id", "score"], orient="row"), tmp_path / "lists.csv")

    run = genrec.run(until="evaluate", overrides=[*shop, f"recommendations={file}"], quiet=True)
    assert set(json.loads((run.path / "run.json").read_text(encoding="utf-8"))["wanted"]) == {"dataset", "evaluation"}
    assert 0 < run.metrics["model"]["test/recall@5"] < 0.5

    file.rename(moved := tmp_path / "moved.csv")
    config = compose([*shop, f"recommendations={moved}"])
    assert [stage.name for stage in needed_stages(config.tree, "evaluate")] == ["prepare", "evaluate"]
    assert [step.action for step in plan(config)] == ["skip", "skip"]
    moved.write_text(moved.read_text(encoding="utf-8").replace(",1.0\n", ",1.5\n"), encoding="utf-8")
    assert [step.action for step in plan(config)] == ["skip", "run"]


@pytest.mark.parametrize(
    ("users", "k", "held", "warns"),
    [
        (60, 10, "nothing", True),
        (60, 20, "nothing", True),
        (60, 10, "one target", False),
        (60, 2, "nothing", False),  # random items would hit four: none may be bad luck
        (10, 10, "nothing", False),
        (200, 5, "nothing", True),
    ],
)
def test_lists_that_were_made_with_the_targets_in_the_histories(tmp_path, users, k, held, warns):
    dataset, rng = walks(users=users), np.random.default_rng(0)
    histories, targets, rows = dataset.histories("test"), dataset.targets("test"), []
    for user in range(users):
        had = set(histories[user]) | set(targets[user])
        fresh = [item for item in rng.permutation(dataset.num_items) if item not in had][:k]
        if held == "one target" and user == 7:
            fresh[-1] = int(targets[user][0])
        rows += [(f"u{user}", f"i{item}", rank) for rank, item in enumerate(fresh, start=1)]
    table = pl.DataFrame(rows, schema=["user_id", "item_id", "rank"], orient="row")
    metrics = metrics_of(evaluated(tmp_path, dataset, table, file=write(table, tmp_path / "a.parquet"), baselines={}))
    assert (max(metrics["model"][key] for key in metrics["model"] if key.startswith("test/recall@")) == 0) == (
        held == "nothing"
    )
    assert any("no list of the test part holds a target" in line for line in metrics["warnings"]) == warns
