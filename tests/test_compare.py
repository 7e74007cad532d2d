"""`genrec compare`: seeds find their model, unlike runs are refused, differences are told as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from small_runs import finished, scores

import genrec
from genrec.cli import main
from genrec.runs import Run
from genrec.stages.models import differences, find_runs, group
from genrec.stages.standings import standings, write_comparison
from genrec.stages.sweep import compare_runs


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
    assert [pair.real for pair in told.pairs] == [True]


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


def test_exchanged_components_are_told_by_name_only(runs: Path) -> None:
    finished(runs, "a", scores(0.2), settings={"_target_": "shop.Small", "dim": 1})
    finished(runs, "b", scores(0.3), settings={"_target_": "shop.Large", "depth": 2})
    models = group(find_runs(["a", "b"]), split="test", metric="ndcg@10")
    assert differences(models) == {"generator": ["Small", "Large"]}


def test_the_command(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *two_models(runs), "--html", "out/page.html", "--draws", "500"]) == 0
    told = capsys.readouterr().out
    assert "test NDCG@10: 300 users, 50 items, seen items excluded" in told
    assert re.search(r"generator\.dim=64 +3 ", told)
    assert "popularity" in told
    assert "The difference is real on test NDCG@10: generator.dim=64 beats generator.dim=128 by" in told
    assert "a true difference of" in told
    page = Path("out/page.html").read_text(encoding="utf-8")
    for word in ("generator.dim=64 against generator.dim=128", "m,generator.dim=64,seed=2", "bayes bound", "detectable"):
        assert word in page
    assert "<script" not in page
    assert "http" not in page


def test_equal_models_cannot_be_told_apart(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *two_models(runs, first=0.2, second=0.2)]) == 0
    assert "Cannot be told apart: generator.dim=64 and generator.dim=128." in capsys.readouterr().out


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
    assert "a: one run only" in capsys.readouterr().out
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


def test_validation_only(runs: Path, tmp_path: Path) -> None:
    for place in range(2):
        finished(runs, f"v{place}", scores(0.2), settings={"dim": place}, splits=("validation",))
    write_comparison(find_runs(["v0", "v1"]), tmp_path / "page.html")
    assert "validation NDCG@10" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert main(["compare", "v0", "v1"]) == 2


def test_a_sweep_ends_with_the_page(runs: Path) -> None:
    made, told = [Run(Path(path)) for path in two_models(runs)], list[str]()
    compare_runs(made, told.append)
    assert told == ["which differences are real: runs/m.compare.html"]
    assert "generator.dim=64 beats" in (runs / "m.compare.html").read_text(encoding="utf-8")
    assert len(find_runs([str(path) for path in runs.iterdir() if path.name[0] != "."])) == 6  # as runs/* gives them
    other = Run(finished(runs, "m,dataset=2", scores(0.2), dataset="d2"))
    compare_runs([*made, other], told.append)
    assert told[1].startswith("no comparison: m,generator.dim=64,seed=0 and m,dataset=2: expected the same dataset")
