import io
import json

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from safetensors.numpy import save_file
from small_evaluation import evaluated, metrics_of, recommended, walks

from genrec.core.dataset import Dataset
from genrec.core.sids import SIDTable
from genrec.data.lib.demo_world import WORLD_FILE
from genrec.engine.config import compose
from genrec.engine.stage import Runtime, StageContext
from genrec.reports.text_tables import print_comparison
from genrec.reports.verdict import verdict
from genrec.stages import evaluate, prepare


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    dataset = walks()
    return evaluated(tmp_path_factory.mktemp("walk"), dataset, recommended(dataset))


def printed(*runs):
    console = Console(file=io.StringIO(), width=80)
    print_comparison(runs, console)
    return console.file.getvalue()


def test_a_baseline_and_a_model_with_the_same_lists_get_the_same_figures(walk):
    metrics = metrics_of(walk)
    assert metrics["model"] == pytest.approx(metrics["baselines"]["transitions"])
    assert metrics["best_baseline"]["test"]["name"] == "transitions"
    assert metrics["best_baseline"]["test"]["lead"] == 0
    assert "is not significantly different from the best baseline, transitions" in verdict("walk", metrics)
    assert metrics["model"]["test/recall@10"] > metrics["baselines"]["popularity"]["test/recall@10"]


def test_metrics_hold_every_key_with_an_interval_around_it(walk):
    metrics = metrics_of(walk)
    accuracy = ("recall", "ndcg", "mrr", "precision", "hit", "map")
    names = {f"{split}/{name}@{k}" for split in ("val", "test") for name in accuracy for k in (1, 5, 10)}
    names |= {f"{split}/{name}@10" for split in ("val", "test") for name in ("novelty", "repeat_rate", "serendipity")}
    overall = {f"{split}/{name}@10" for split in ("val", "test") for name in ("coverage", "gini", "popularity_lift")}
    assert set(metrics["intervals"]) == names  # lists hold 10 items: nothing at 20
    assert set(metrics["model"]) == names | overall
    assert set(metrics["left_out"]) == {"diversity", "prefix_diversity", "miscalibration"}
    for key, (low, high) in metrics["intervals"].items():
        assert low - 1e-9 <= metrics["model"][key] <= high + 1e-9
    assert metrics["users"] == {"validation": 60, "test": 60}
    assert metrics["rules"]["exclude_seen"] is True


def test_per_user_figures_average_to_the_metrics(walk):
    per_user = pl.read_parquet(walk.path / "per_user.parquet")
    means = per_user.filter(pl.col("split") == "test").drop("split", "user_id").mean().row(0, named=True)
    assert {f"test/{key}": value for key, value in means.items()} == pytest.approx(
        {key: metrics_of(walk)["model"][key] for key in metrics_of(walk)["intervals"] if key.startswith("test/")}
    )


def test_missing_and_short_lists_miss_and_are_told(tmp_path):
    dataset, told = walks(), []
    table = recommended(dataset)
    halved = table.filter(~pl.col("user_id").is_in([f"u{u}" for u in range(30)]))
    first = table.filter((pl.col("user_id") == "u0") & (pl.col("rank") == 1))
    artifact = evaluated(tmp_path, dataset, pl.concat([halved, first]), baselines={}, log=told.append)
    per_user = pl.read_parquet(artifact.path / "per_user.parquet").filter(pl.col("split") == "test")
    assert per_user["user_id"].to_list() == [f"u{u}" for u in range(60)]
    assert per_user["recall@10"][1:30].sum() == 0
    assert per_user["recall@10"][30:].sum() > 0
    assert any("30 of 60 test users have a list shorter than 10 items" in line for line in told)


def test_a_sample_of_the_users_can_be_measured_by_itself(tmp_path):
    dataset = walks()
    half = recommended(dataset).filter(pl.col("user_id").is_in([f"u{u}" for u in range(30)]))
    everybody = evaluated(tmp_path / "all", dataset, half)
    listed = evaluated(tmp_path / "listed", dataset, half, users="listed")
    assert metrics_of(everybody)["users"]["test"] == 60
    assert metrics_of(listed)["users"]["test"] == 30
    key = "test/recall@10"
    assert metrics_of(listed)["model"][key] == pytest.approx(2 * metrics_of(everybody)["model"][key])
    assert metrics_of(listed)["baselines"]["transitions"][key] == pytest.approx(metrics_of(listed)["model"][key])


def test_targets_that_the_seen_item_rule_hides_are_counted(tmp_path):
    dataset, told = walks(repeats=True), []
    hidden = sum(dataset.targets("test")[u][0] in dataset.histories("test")[u] for u in range(60))
    assert hidden > 0
    evaluated(tmp_path / "a", dataset, recommended(dataset), baselines={}, log=told.append)
    assert any(f"{hidden} of 60 test targets are in their user's history" in line for line in told)
    told.clear()
    kept = recommended(dataset, exclude_seen=False)
    evaluated(tmp_path / "b", dataset, kept, exclude_seen=False, baselines={}, log=told.append)
    assert not any("are in their user's history" in line for line in told)


def test_the_table_fits_80_columns_and_shows_baselines_once(walk, tmp_path):
    other = evaluated(tmp_path, walks(seed=1), recommended(walks(seed=1)), exclude_seen=False)
    text = printed(("first", walk), ("second,tokenizer=rqvae", walk), ("third", other))
    table = text.split("first is not significantly")[0].splitlines()
    assert max(len(line) for line in table if "items (dataset" not in line) <= 80
    assert sum(line.startswith("popularity") for line in table) == 2  # once for each rule of the game
    assert "seen items excluded" in text
    assert "seen items kept" in text
    shown = next(line for line in table if line.startswith("first")).split()
    assert shown[4] == f"{metrics_of(walk)['model']['test/ndcg@10']:.4f}"
    assert "third" in text.splitlines()[-1]


def test_the_verdict_follows_the_interval_of_the_lead(walk):
    metrics = metrics_of(walk)
    best = metrics["best_baseline"]["test"]
    best |= {"lead": 0.02, "interval": [0.01, 0.03]}
    assert "walk beats the best baseline" in verdict("walk", metrics)
    best |= {"lead": -0.02, "interval": [-0.03, -0.01]}
    assert "walk does not beat the best baseline" in verdict("walk", metrics)
    metrics["bounds"] = {"bayes": {"test/ndcg@10": 2 * metrics["model"]["test/ndcg@10"]}}
    assert "It reaches 50% of the Bayes bound" in verdict("walk", metrics)


def test_validation_alone_can_be_evaluated(tmp_path):
    dataset = walks()
    table = recommended(dataset).filter(pl.col("split") == "validation")
    artifact = evaluated(tmp_path, dataset, table)
    assert all(key.startswith("val/") for key in metrics_of(artifact)["model"])
    assert "validation NDCG@10" in printed(("walk", artifact))


def demo_world(tmp_path, shop):
    """A generated shop and its metrics, with its bounds."""
    config = {
        "data": shop,
        "filters": {"_target_": "genrec.data.filters.Filters"},
        "order": {"_target_": "genrec.data.order.Order"},
        "split": {"_target_": "genrec.data.leave_one_out.LeaveOneOut"},
    }

    def prepared(folder):
        prepare.STAGE.build(StageContext(config, {}, folder, folder, lambda line: None, Runtime()))

    folder = tmp_path / "prepared"
    folder.mkdir()
    prepared(folder)
    assert (folder / WORLD_FILE).exists()
    dataset = Dataset.load(folder)
    return dataset, metrics_of(evaluated(tmp_path / "runs", dataset, recommended(dataset), save=prepared))


def test_the_demo_world_gives_bounds_above_every_baseline(tmp_path):
    shop = {"_target_": "genrec.data.demo.DemoShop", "num_users": 400, "num_items": 240, "seed": 1}
    _, metrics = demo_world(tmp_path, shop)
    baselines = max(row["test/ndcg@10"] for row in metrics["baselines"].values())
    assert baselines < metrics["bounds"]["bayes"]["test/ndcg@10"] <= metrics["bounds"]["oracle"]["test/ndcg@10"] + 0.02
    assert list(metrics["bounds"]) == ["bayes", "oracle"]


def test_a_demo_world_with_columns_has_a_bound_with_each_of_them(tmp_path):
    shop = {"_target_": "genrec.data.demo_events.DemoEvents", "num_users": 400, "num_items": 240}
    dataset, metrics = demo_world(tmp_path, shop)
    bounds = {name: row["test/ndcg@10"] for name, row in metrics["bounds"].items()}
    assert bounds["bayes"] < bounds["bayes with next event_type"] < bounds["bayes with all"] < 1.1 * bounds["oracle"]
    assert "% of that with all of them" in verdict("walk", metrics)

    weighted = evaluate.Evaluator(baselines={}, target_weights={"view": 0, "cart": 0, "purchase": 1})
    of_purchases = evaluate._exact_scores(dataset, {}, weighted, print)
    assert bounds.keys() - of_purchases.keys() == {"bayes with next event_type"}  # each of them knows that it is a purchase


@pytest.mark.parametrize(("weights", "reason"), [({"purchase": 1}, "have no kinds"), ("weight", "what its kind is worth")])
def test_worth_of_targets_without_a_bound(tmp_path, weights, reason):
    shop = {"_target_": "genrec.data.demo.DemoShop", "num_users": 50, "num_items": 240}
    dataset, _ = demo_world(tmp_path, shop)
    said = []
    assert evaluate._exact_scores(dataset, {}, evaluate.Evaluator(baselines={}, target_weights=weights), said.append) == {}
    assert reason in said[0]


def test_several_targets_have_no_exact_bound(tmp_path):
    told = []
    facts = {"test": {"targets": 20, "users": 10}}
    (tmp_path / WORLD_FILE).write_bytes(b"")
    dataset = walks()
    object.__setattr__(dataset, "folder", tmp_path)
    assert evaluate._exact_scores(dataset, facts, evaluate.Evaluator(baselines={}), told.append) == {}
    assert "one target a user" in told[0]


def test_the_same_inputs_give_the_same_bytes(walk, tmp_path):
    dataset = walks()
    again = evaluated(tmp_path, dataset, recommended(dataset))
    for name in ("metrics.json", "per_user.parquet"):
        assert (again.path / name).read_bytes() == (walk.path / name).read_bytes()


def test_metrics_json_is_strict_json(walk):
    def refuse(constant):
        raise AssertionError(constant)

    metrics = json.loads((walk.path / "metrics.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert np.isfinite(list(metrics["model"].values())).all()


def typed(dataset, folder):
    """Saves the dataset with event types and weights: every third user's test item was only clicked."""
    dataset.save(folder)
    users, parts = dataset.events.user_idx, []
    for length in dataset.events.lengths:
        parts += ["train"] * (length - 2) + ["validation", "test"]
    events = pl.DataFrame(
        {
            "user_id": dataset.user_ids.gather(users),
            "item_id": dataset.item_ids.gather(dataset.events.item_idx),
            "event_type": pl.select(
                pl.when(pl.Series(users) % 3 == 0).then(pl.lit("click")).otherwise(pl.lit("buy"))
            ).to_series(),
            "weight": np.where(users % 3 == 0, 1.0, 4.0),
            "part": pl.Series(parts, dtype=pl.Categorical),
        }
    )
    events.write_parquet(folder / "interactions.parquet")


def test_weights_of_zero_leave_targets_out(walk, tmp_path):
    dataset, told = walks(), []
    weights = {"click": 0, "buy": 2}
    artifact = evaluated(
        tmp_path,
        dataset,
        recommended(dataset),
        save=lambda folder: typed(dataset, folder),
        target_weights=weights,
        log=told.append,
    )
    metrics, every = metrics_of(artifact), pl.read_parquet(walk.path / "per_user.parquet")
    assert metrics["users"] == {"validation": 40, "test": 40}
    assert metrics["rules"]["counted"]["test"] == 40
    assert metrics["rules"]["target_weights"] == weights
    assert any("20 more held-out items weigh 0" in line for line in told)
    bought = every.filter(pl.col("split") == "test", ~pl.col("user_id").is_in([f"u{u}" for u in range(0, 60, 3)]))
    assert metrics["model"]["test/ndcg@10"] == pytest.approx(bought["ndcg@10"].mean())  # one target: its weight cancels


def test_vectors_codes_and_categories_give_the_rest(tmp_path):
    dataset = walks()
    rng = np.random.default_rng(0)
    labelled = dataset.items.with_columns(category=pl.Series([f"All > {i % 3}" for i in range(30)]))
    object.__setattr__(dataset, "items", labelled)

    def vectors(folder):
        (folder / "vectors").mkdir()
        save_file({"vectors": rng.normal(size=(30, 4)).astype(np.float32)}, folder / "vectors" / "item.safetensors")

    def sids(folder):
        codes = np.stack([np.arange(30) % 5, np.arange(30) // 15, np.zeros(30, int)], axis=1)
        SIDTable(codes, (5, 2, 1), collision_level=2).save(folder, dataset.item_ids)

    artifact = evaluated(tmp_path, dataset, recommended(dataset), more={"encoder": vectors, "sids": sids})
    metrics = metrics_of(artifact)
    assert metrics["left_out"] == {}
    for name in ("diversity", "prefix_diversity", "miscalibration"):
        low, high = metrics["baseline_intervals"]["popularity"][f"test/{name}@10"]
        assert low <= metrics["baselines"]["popularity"][f"test/{name}@10"] <= high
    assert {entry["name"] for entry in metrics["slices"]["test"] if entry["slice"] == "category"} == {"0", "1", "2"}
    shares = [entry["share"] for entry in metrics["slices"]["test"] if entry["slice"] == "item popularity"]
    assert sum(shares) == pytest.approx(1.0)


def test_popularity_finds_nothing_that_popularity_would_not(walk):
    metrics = metrics_of(walk)
    assert metrics["baselines"]["popularity"]["test/serendipity@10"] == 0
    assert 0 < metrics["model"]["test/serendipity@10"] <= metrics["model"]["test/recall@10"]


def test_evaluate_asks_for_what_the_components_make():
    def inputs(*overrides):
        return evaluate.STAGE.inputs(compose(overrides).tree)

    assert inputs("generator=encdec") == ("dataset", "recommendations", "encoder", "sids")
    assert inputs("generator=sasrec") == ("dataset", "recommendations")
    assert inputs("recommendations=somewhere.csv") == ("dataset",)
