"""`genrec compare`: seeds find their model, unlike runs are refused, differences are told as they are."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_runs import finished, scores
from small_world import ring

import genrec
from genrec.cli import main
from genrec.commands.run import compare_runs, write_comparison
from genrec.core.dataset import Dataset
from genrec.core.event_schema import EventSchema, category
from genrec.engine.artifacts import Store
from genrec.engine.config import compose
from genrec.engine.runs import STORE, Run
from genrec.errors import ConfigError
from genrec.reports.comparison import conclusion
from genrec.reports.evaluated_runs import differences, find_runs, group
from genrec.reports.standings import standings
from genrec.statistics.paired import compare, holm

RING = ring(num_items=10, num_users=5)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("runs")


def two_models(runs: Path, *, first: float = 0.3, second: float = 0.2) -> list[str]:
    """Three seeds of each, as a sweep names them."""
    made = []
    for size, mean in ((64, first), (128, second)):
        for seed in (0, 1, 2):
            name = f"m,generator.dim={size},seed={seed}"
            made.append(finished(runs, name, scores(mean, seed=size + seed), settings={"dim": size}, seed=seed))
    return [str(path) for path in made]


def test_runs_that_differ_in_seeds_only_are_one_model(runs: Path) -> None:
    models = group(find_runs(two_models(runs)), split="test", metric="ndcg@10")
    assert [(model.name, len(model.runs), model.scores.shape) for model in models] == [
        ("generator.dim=64", 3, (300, 3)),
        ("generator.dim=128", 3, (300, 3)),
    ]
    assert differences(models) == {"generator.dim": ["64", "128"]}
    assert (models[0].scores != models[1].scores).any()


def test_python_says_what_the_command_line_says(runs: Path) -> None:
    places = two_models(runs)
    told = genrec.compare(Run(Path(places[0])), *places[1:])
    assert told == standings(find_runs(places))
    assert [pair.significant for pair in told.pairs] == [True]


def test_one_evaluation_under_two_names_counts_once(runs: Path) -> None:
    path = finished(runs, "a", scores(0.2))
    assert len(find_runs([str(path), "a", "runs/a/evaluation"])) == 1


def test_names(runs: Path) -> None:
    def names(*places: str) -> list[str]:
        return [model.name for model in group(find_runs(places), split="test", metric="ndcg@10")]

    for seed in (1, 2):
        finished(runs, f"demo_{seed}", scores(0.2, seed=seed), seed=seed)
        finished(runs, f"big-seed{seed}", scores(0.3, seed=seed), settings={"dim": 9}, seed=seed)
    finished(runs, "x", scores(0.1, seed=7), settings={"dim": 10})
    assert names("demo_1", "demo_2", "big-seed1", "big-seed2", "x") == ["demo", "big", "x"]
    assert names("mine=demo_1", "mine=x", "demo_2") == ["mine", "demo_2"]  # told by the user


def test_exchanged_components_are_told_with_their_settings(runs: Path) -> None:
    finished(runs, "a", scores(0.2), settings={"_target_": "shop.Small", "dim": 1})
    finished(runs, "b", scores(0.3), settings={"_target_": "shop.Large", "depth": 2})
    models = group(find_runs(["a", "b"]), split="test", metric="ndcg@10")
    assert differences(models) == {
        "generator": ["Small", "Large"],
        "generator.dim": ["1", "-"],
        "generator.depth": ["-", "2"],
    }


def test_components_are_told_as_the_command_line_calls_them(runs: Path) -> None:
    for name in ("sasrec", "tiger", "encdec", "hstu", "moe"):
        finished(runs, name, scores(0.2), component=compose([f"generator={name}"]).tree["generator"])
    models = group(find_runs(["sasrec", "tiger", "encdec", "hstu", "moe"]), split="test", metric="ndcg@10")
    told = differences(models)
    assert told["generator"] == ["sasrec", "tiger", "encdec", "hstu", "moe"]
    for key in told:
        values = [value for value in told[key] if value not in ("-", "None")]
        assert compose([f"generator={told['generator'][told[key].index(values[0])]}", f"{key}={values[0]}"]), "it can be typed"


def with_baselines(runs: Path, *means: float) -> list[str]:
    """A run for each mean, beside a strong and a weak baseline."""
    strong, weak = scores(0.3, seed=50), scores(0.2, seed=51)
    return [
        str(
            finished(
                runs, f"m{place}", scores(mean, seed=place), settings={"dim": place}, baselines={"weak": weak, "strong": strong}
            )
        )
        for place, mean in enumerate(means)
    ]


def test_the_best_on_validation_is_not_called_best_on_test(runs: Path) -> None:
    found = standings(find_runs(with_baselines(runs, 0.1)), draws=200)
    lucky = [replace(row, value=0.9) if row.name == "weak" else row for row in found.baselines]
    level = f"{scores(0.3, seed=50).mean():.4f}"
    assert conclusion(replace(found, baselines=lucky)).startswith(
        f"Best baseline on validation, without training: strong, with {level} on test NDCG@10; m0 ("
    )


@pytest.mark.parametrize(
    ("means", "sentence"),
    [
        ((0.1, 0.5), "strong with {level}; m0 ({0}) is below it; m1 ({1}) beats it."),
        ((0.05, 0.1, 0.12), "strong with {level}; m0 ({0}); m1 ({1}); m2 ({2}) are below it."),
        ((0.3,), "strong with {level}; m0 ({0}) is not significantly different from it."),
        ((0.6, 0.5), "strong with {level}; m0 ({0}); m1 ({1}) beat it."),
        (
            (0.1, 0.3, 0.6),
            "strong with {level}; m0 ({0}) is below it; m1 ({1}) is not significantly different from it; m2 ({2}) beats it.",
        ),
    ],
)
def test_the_headline_begins_with_the_best_baseline(runs: Path, means: tuple[float, ...], sentence: str) -> None:
    found = standings(find_runs(with_baselines(runs, *means)), draws=2000)
    figures = [f"{row.value:.4f}" for row in found.models]
    expected = sentence.format(*figures, level=f"{scores(0.3, seed=50).mean():.4f}")
    assert conclusion(found).startswith(f"Best baseline on test NDCG@10, without training: {expected}")
    assert [(pair.first, pair.second) for pair in found.pairs if pair.second == found.untrained] == [
        (f"m{place}", "strong (baseline)") for place in range(len(means))
    ]


def test_the_baseline_is_one_of_the_comparisons_that_are_corrected_for(runs: Path) -> None:
    found = standings(find_runs(with_baselines(runs, 0.25, 0.27, 0.29)), draws=2000)
    assert len(found.pairs) == 3 + 3
    adjusted = holm([pair.comparison.p for pair in found.pairs])
    assert [pair.p for pair in found.pairs] == adjusted
    values = scores(0.25, seed=0), scores(0.3, seed=50)
    alone = compare(values[0][:, None], values[1][:, None], draws=2000)
    pair = next(pair for pair in found.pairs if (pair.first, pair.second) == ("m0", "strong (baseline)"))
    assert pair.comparison.p == alone.p


def test_seeds_do_not_move_a_baseline(runs: Path) -> None:
    strong = {"strong": scores(0.2, seed=50)}
    for seed in (0, 1, 2):
        finished(runs, f"m,seed={seed}", scores(0.4, seed=seed), seed=seed, baselines=strong)
    found = standings(find_runs(["m"]))
    assert len(found.models) == 1
    assert len(found.models[0].runs) == 3
    [pair] = found.pairs
    assert pair.significant
    assert "m alone" in conclusion(found)
    assert "one run; the variance" not in conclusion(found)


def test_a_baseline_in_the_models_place_is_not_its_own_rival(runs: Path) -> None:
    [place] = with_baselines(runs, 0.3)
    file = Path(place) / "evaluation" / "metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8"))
    run = find_runs([place])[0]
    object.__setattr__(run, "metrics", metrics | {"measured": "strong"})
    assert standings([run], draws=50).untrained == "weak (baseline)"


def test_evaluations_of_before_say_that_nothing_was_tested(runs: Path) -> None:
    found = standings(find_runs(two_models(runs)))
    assert found.untrained is None
    assert conclusion(found).startswith("Best baseline on test NDCG@10: popularity with 0.0100 (not tested:")


def test_several_metrics_and_tables(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = two_models(runs)
    files = {form: f"out/table.{form}" for form in ("csv", "latex", "markdown")}
    asked = [part for form, file in files.items() for part in (f"--{form}", file)]
    assert main(["compare", *places, "--metric", "ndcg@10,recall@10", "--html", "out/page.html", "--draws", "200", *asked]) == 0
    told = capsys.readouterr().out
    assert "test NDCG@10: 300 users" in told
    assert "test Recall@10: 300 users" in told
    page = Path("out/page.html").read_text(encoding="utf-8")
    assert "Which differences are significant, test NDCG@10" in page
    assert "Which differences are significant, test Recall@10" in page
    first = next(csv.DictReader(io.StringIO(Path(files["csv"]).read_text(encoding="utf-8").split("\n\n")[0])))
    assert first["name"] == "popularity"
    text = Path(files["csv"]).read_text(encoding="utf-8").split("\n\n")[0]
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(text))}
    values = [scores(0.3, seed=64 + seed).mean() for seed in (0, 1, 2)]
    assert rows["generator.dim=64"]["test/ndcg@10"] == f"{np.mean(values):.4f}"
    assert rows["generator.dim=64"]["test/ndcg@10 sd"] == f"{np.std(values, ddof=1):.4f}"
    assert rows["generator.dim=64"]["kind"] == "model"
    assert rows["popularity"]["kind"] == "baseline"
    markdown = Path(files["markdown"]).read_text(encoding="utf-8")
    assert f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}" in markdown
    latex = Path(files["latex"]).read_text(encoding="utf-8")
    assert latex.startswith("\\begin{tabular}{lrrrr}\n")
    assert f"{np.mean(values):.4f} $\\pm$ {np.std(values, ddof=1):.4f}" in latex


@pytest.mark.parametrize("mean", [0.004, 0.008, 0.02, 0.98, 0.995])
def test_no_interval_of_a_mean_leaves_what_is_possible(runs: Path, mean: float) -> None:
    users = scores(0.3) * 0
    for seed in range(3):
        values = users.copy() + (mean > 0.5)
        values[seed * 3 : seed * 3 + (seed == 0)] = 1 - values[0]
        finished(runs, f"m,seed={seed}", values, seed=seed)
    finished(runs, "other", scores(mean, seed=9), settings={"dim": 4})
    low, high = standings(find_runs(["m", "other"]), draws=50).models[0].interval
    assert 0 <= low <= high <= 1


def test_the_name_of_a_sweep_is_all_its_runs(runs: Path) -> None:
    two_models(runs)
    for place in ("m", "runs/m", "./runs/m"):
        assert len(find_runs([place])) == 6
    assert len(find_runs(["runs/m,generator.dim=64"])) == 3
    finished(runs, "m2", scores(0.1), settings={"dim": 9})
    assert [run.name for run in find_runs(["m2"])] == ["m2"]
    assert {run.label for run in find_runs(["mine=m"])} == {"mine"}


@pytest.mark.parametrize(
    ("metric", "expected", "fix"),
    [
        ("recall@20", "a k of at most 10, because the lists hold 10 items (recommend.k), got recall@20", "recommend.k=20"),
        ("ndcg@50", "a k of at most 10", "recommend.k=50"),
        ("ndcg@100", "got ndcg@100", "recommend.k=100"),
        ("recall@7", "a k of 10, got recall@7", "evaluate.ks=[7,10]"),
        ("ndgc@10", "a metric measured user by user, got ndgc@10", "did you mean ndcg@10?"),
    ],
)
def test_a_k_that_was_not_measured(runs: Path, metric: str, expected: str, fix: str) -> None:
    finished(runs, "a", scores(0.2), rules={"list_length": 10})
    with pytest.raises(ConfigError) as caught:
        standings(find_runs(["a"]), metric=metric)
    assert expected in str(caught.value)
    assert str(caught.value).endswith(fix)


def test_the_command(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *two_models(runs), "--html", "out/page.html", "--draws", "500"]) == 0
    told = capsys.readouterr().out
    assert "test NDCG@10: 300 users, 50 items, seen items excluded" in told
    assert re.search(r"generator\.dim=64 +3 ", told)
    assert "popularity" in told
    assert "The difference is significant on test NDCG@10: generator.dim=64 beats generator.dim=128 by" in told
    assert "a true difference of" in told
    page = Path("out/page.html").read_text(encoding="utf-8")
    for word in ("generator.dim=64 against generator.dim=128", "m,generator.dim=64,seed=2", "bayes bound", "detectable"):
        assert word in page
    assert "<script" not in page
    assert "http" not in page


def test_equal_models_cannot_be_told_apart(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *two_models(runs, first=0.2, second=0.2)]) == 0
    assert "No significant difference: generator.dim=64 and generator.dim=128." in capsys.readouterr().out


def test_single_runs_say_that_seeds_were_left_out(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(runs, "a", scores(0.2))
    finished(runs, "b", scores(0.3), settings={"dim": 2})
    finished(runs, "c", scores(0.3, seed=5), settings={"dim": 3}, seed=5)
    finished(runs, "c2", scores(0.3, seed=6), settings={"dim": 3}, seed=6)
    assert main(["compare", "a", "b", "--metric", "recall@10", "--split", "validation"]) == 0
    told = capsys.readouterr().out
    assert "validation Recall@10" in told
    assert "One run each" in told
    assert main(["compare", "a", "c", "c2"]) == 0
    assert "a: one run; the variance" in capsys.readouterr().out
    assert main(["compare", "a"]) == 0
    assert "give another model" in capsys.readouterr().out


def test_against_a_baseline(runs: Path) -> None:
    for place in range(3):
        finished(runs, f"r{place}", scores(0.2 + place / 10), settings={"dim": place})
    found = standings(find_runs(["r0", "r1", "r2"]), baseline="r2", draws=200)
    assert [(pair.first, pair.second) for pair in found.pairs] == [("r0", "r2"), ("r1", "r2")]


def test_of_many_models_each_meets_the_best_on_validation(runs: Path) -> None:
    places = [str(finished(runs, f"r{n}x", scores(0.2 + (n == 4) / 10), settings={"dim": n})) for n in range(9)]
    found = standings(find_runs(places), draws=50)
    assert found.baseline == "r4x"
    assert len(found.pairs) == 8


def test_datasets_that_differ_in_columns_alone_are_compared(runs: Path) -> None:
    places = [str(finished(runs, name, scores(0.2), dataset=name)) for name in ("plain", "columns", "longer")]
    schema = EventSchema(columns=(category("event_type", ["buy", "view"]),))
    of_events = {"event_type": np.ones(len(RING.events.item_idx), np.int32)}
    made = {
        "plain": RING,
        "columns": replace(RING, schema=schema, events=replace(RING.events, columns=of_events)),
        "longer": replace(RING, train_ends=RING.train_ends - 1),
    }
    for name, dataset in made.items():
        events = {"columns": {"event_type": "category"} if dataset.schema else {}, "user_codes": False, "half_life": 10.0}

        def build(folder: Path, work: Path, dataset: Dataset = dataset) -> dict[str, int]:
            dataset.save(folder)
            return {}

        Store(runs / STORE).make("dataset", name, build, stage="prepare", config={"events": events}, inputs={})
    models = group(find_runs(places[:2]), split="test", metric="ndcg@10")
    assert differences(models) == {"events.columns.event_type": ["-", "category"]}
    with pytest.raises(ConfigError, match="the same dataset"):
        group(find_runs(places[1:]), split="test", metric="ndcg@10")


def test_validation_only(runs: Path, tmp_path: Path) -> None:
    for place in range(2):
        finished(runs, f"v{place}", scores(0.2), settings={"dim": place}, splits=("validation",))
    write_comparison(find_runs(["v0", "v1"]), tmp_path / "page.html")
    assert "validation NDCG@10" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert main(["compare", "v0", "v1"]) == 2


def test_a_sweep_ends_with_the_page(runs: Path) -> None:
    made, told = [Run(Path(path)) for path in two_models(runs)], list[str]()
    compare_runs(made, told.append)
    assert told == ["which differences are significant: runs/m.compare.html"]
    assert "generator.dim=64 beats" in (runs / "m.compare.html").read_text(encoding="utf-8")
    assert len(find_runs([str(path) for path in runs.iterdir() if path.name[0] != "."])) == 6  # as runs/* gives them
    other = Run(finished(runs, "m,dataset=2", scores(0.2), dataset="d2"))
    compare_runs([*made, other], told.append)
    assert told[1].startswith("no comparison: m,generator.dim=64,seed=0 and m,dataset=2: expected the same dataset")


def test_the_list_of_runs_marks_figures_of_some_of_the_users(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished(runs, "some", scores(0.2), rules={"users": "listed"})
    finished(runs, "all", scores(0.3), rules={"users": "all"})
    assert main(["ls"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert f"{scores(0.2).mean():.4f} *" in lines["some"]
    assert "*" not in lines["all"]
    assert "evaluate.users=listed" in lines["*"]
