"""The sweep examples of docs/sweeps: they compose, stop after training, and never make a test list."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import genrec
from genrec.cli import _dispatch
from genrec.engine.config import compose
from genrec.engine.pipeline import plan, run_of

SWEEPS = Path(__file__).parents[1] / "docs" / "sweeps"


def values(parameter: dict[str, Any]) -> list[Any]:
    return list(parameter["values"]) if "values" in parameter else [parameter["min"], parameter["max"]]


@pytest.mark.parametrize("pick", [0, -1])
def test_the_wandb_sweep_is_a_command_of_genrec(pick: int, tmp_path: Path) -> None:
    sweep = yaml.safe_load((SWEEPS / "wandb.yaml").read_text(encoding="utf-8"))
    assert sweep["metric"] == {"name": "val/ndcg@10", "goal": "maximize"}
    assert sweep["method"] in ("grid", "random", "bayes")
    tried = [f"{key}={values(parameter)[pick]}" for key, parameter in sweep["parameters"].items()]
    filled = {"${env}": ["/usr/bin/env"], "${program}": [sweep["program"]], "${args_no_hyphens}": tried}  # as W&B's agent does
    words = [word for part in sweep["command"] for word in filled.get(part, [part])]
    assert words[:3] == ["/usr/bin/env", "genrec", "train"]
    config = compose([*words[3:], f"paths.runs={tmp_path}"])
    assert [step.stage.name for step in plan(config, until="train")][-1] == "train"
    assert run_of(config).name.startswith("sweep_0.0")
    assert config.tree["logger"]["mode"] == "online"
    for key, value in (pair.split("=") for pair in tried):
        group, _, name = key.partition(".")
        assert config.tree[group][name] == float(value)


def test_the_optuna_search_tunes_on_validation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("optuna_search", SWEEPS / "optuna_search.py")
    assert spec is not None
    assert spec.loader is not None
    search = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(search)
    asked: list[dict[str, Any]] = []

    def run(**given: Any) -> Any:
        asked.append(given)
        return SimpleNamespace(artifact=lambda kind: SimpleNamespace(facts={"best": {"val/ndcg@10": 0.25, "val/recall@10": 1}}))

    monkeypatch.setattr(genrec, "run", run)
    trial = SimpleNamespace(
        number=3, suggest_float=lambda name, low, high, **more: low, suggest_categorical=lambda name, choices: choices[0]
    )
    assert search.objective(trial, "search", ["experiment=demo"]) == 0.25
    assert asked[0]["until"] == "train"
    config = compose([*asked[0]["overrides"], f"paths.runs={tmp_path}"])
    assert run_of(config).name == "search,trial=3"
    assert config.tree["train"]["lr"] == 3e-4


def test_the_grid_of_the_readme_plans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (SWEEPS / "README.md").read_text(encoding="utf-8")
    command = next(part for part in text.split("`") if part.startswith("genrec train -m"))
    assert _dispatch("train", [*command.split()[2:], "--plan", f"paths.runs={tmp_path}"]) == 0
    assert capsys.readouterr().out.count("train      run") == 6


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["data=demo", "seed=0,1"], ["default,seed=0", "default,seed=1"]),
        (["data=demo", "seed=0,1", "name=a"], ["a,seed=0", "a,seed=1"]),
        (["experiment=demo", "seed=3,4"], ["demo,seed=3", "demo,seed=4"]),
        (["data=demo", "name=b", "generator=sasrec,tiger"], ["b,generator=sasrec", "b,generator=tiger"]),
        (["data=demo", "name=a,b"], ["a,name=a", "b,name=b"]),
        (["data=demo", "name=one", "seed=5"], ["one"]),
    ],
)
def test_a_plan_names_the_runs_as_they_will_be_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], names: list[str]
) -> None:
    assert _dispatch("run", ["--plan", "-m", *words, f"paths.runs={tmp_path}"]) == 0
    planned = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert planned == [f"{tmp_path / name}:" for name in names]
