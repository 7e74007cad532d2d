"""Files that were written under former names: metrics.json with ``floors``, rows of results, settings and options."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_evaluation import evaluated, metrics_of, recommended, walks

from genrec.commands.ls import _metrics
from genrec.engine.artifacts import MANIFEST, SEAL, Artifact
from genrec.engine.config import compose
from genrec.engine.experiments import RENAMED_OPTIONS, _announce
from genrec.engine.fingerprints import digest, sha256_file
from genrec.engine.pipeline import plan
from genrec.engine.runs import FORMER_METRICS, read_metrics
from genrec.engine.tracking.tracker import figures_of
from genrec.errors import ConfigError
from genrec.reports.evaluated_runs import Finished
from genrec.reports.standings import standings
from genrec.reports.text_tables import print_comparison

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One evaluation under three sets of names: of today, of the first version, and of the version that wrote two of them."""
    dataset, places = walks(), {}
    for names in ("current", "former", "both"):
        made = evaluated(tmp_path_factory.mktemp(names), dataset, recommended(dataset))
        metrics, file = metrics_of(made), made.path / "metrics.json"
        if names != "current":
            metrics = {key: value for key, value in metrics.items() if key not in FORMER_METRICS}
            for former, current in FORMER_METRICS.items():
                metrics[former] = metrics[current] if names == "both" and former == "floors" else metrics.pop(current)
        file.write_text(json.dumps(metrics), encoding="utf-8")
        manifest = json.loads((made.path / MANIFEST).read_text(encoding="utf-8"))
        manifest["files"]["metrics.json"] |= {"bytes": file.stat().st_size, "sha256": sha256_file(file)}
        del manifest[SEAL]
        (made.path / MANIFEST).write_text(json.dumps(manifest | {SEAL: digest(manifest)}), encoding="utf-8")
        places[names] = made.path
    return places


def terminal(folder: Path) -> str:
    text = StringIO()
    print_comparison([("walk", Artifact(folder))], Console(file=text, width=120))
    return text.getvalue()


def comparison(folder: Path) -> Any:
    runs = [Finished(name, folder, name) for name in ("a", "b")]
    return [(row.name, row.kind, row.value) for row in standings(runs, draws=20).baselines]


READERS: dict[str, Callable[[Path], Any]] = {
    "the run": lambda folder: {key: value for key, value in read_metrics(folder).items() if key not in FORMER_METRICS},
    "ls": lambda folder: _metrics(Artifact(folder))["best_baseline"],
    "show": terminal,
    "compare": comparison,
    "tracking": lambda folder: figures_of(Artifact(folder)),
    "evaluated runs": lambda folder: list(Finished("a", folder).baseline_scores("test", "ndcg@10")),
}


@pytest.mark.parametrize("names", ["former", "both"])
@pytest.mark.parametrize("reader", READERS)
def test_metrics_of_before_are_read_as_those_of_today(evaluations: dict[str, Path], reader: str, names: str) -> None:
    read = READERS[reader]
    expected = read(evaluations["current"])
    assert expected
    assert "transitions" in str(expected)
    assert read(evaluations[names]) == expected


def test_metrics_are_written_under_the_names_of_today(evaluations: dict[str, Path]) -> None:
    written = json.loads((evaluations["current"] / "metrics.json").read_text(encoding="utf-8"))
    assert set(FORMER_METRICS.values()) <= set(written)
    assert [key for key in written if key in FORMER_METRICS] == ["floors"], "scripts of before read it"
    assert written["floors"] == written["baselines"]


def test_a_comparison_has_its_baselines_under_the_former_name(evaluations: dict[str, Path]) -> None:
    comparison = standings([Finished("a", evaluations["current"], "a")], draws=20)
    with pytest.warns(DeprecationWarning, match="floors is baselines now"):
        assert comparison.floors == comparison.baselines != []


def test_rows_of_results_of_before_are_read(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("results", ROOT / "tools" / "results.py")
    assert spec is not None
    assert spec.loader is not None
    results = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results)
    stored = {"run": "shop", "floors": {"popularity": {"test/ndcg@10": 0.1}}, "config": {}}
    (tmp_path / "a_shop.jsonl").write_text(json.dumps(stored) + "\n", encoding="utf-8")
    [row] = results.read_rows(tmp_path)["a_shop"]
    assert row == {"run": "shop", "baselines": stored["floors"], "config": {}}


# --- settings --------------------------------------------------------------------------------------------------------------

WORLD = ["data=demo", "data.num_users=60", "data.num_items=72", "data.events_per_user=6.0", "device=cpu", "name=shop"]
SETTINGS = {  # what was typed before -> what is typed now
    "evaluate.floors.pair_counts.window=5": "evaluate.baselines.pair_counts.window=5",
    "evaluate.floors.ease.max_items=9": "evaluate.baselines.ease.max_items=9",
    "evaluate.floors.other={_target_:genrec.baselines.popularity.Popularity}": (
        "evaluate.baselines.other={_target_:genrec.baselines.popularity.Popularity}"
    ),
    "recommend.new_share=0.3": "recommend.new_item_share=0.3",
    "recommend.new_reach=0.02": "recommend.new_item_reach=0.02",
    "objective.item_teaches=0.0": "objective.distillation_weight=0.0",
    "evaluate=all_floors": "evaluate=all_baselines",
}


@pytest.mark.parametrize("former", SETTINGS)
def test_settings_of_before(former: str, capsys: pytest.CaptureFixture[str]) -> None:
    _announce.cache_clear()
    before, now = compose([*WORLD, former]), compose([*WORLD, SETTINGS[former]])
    assert before.tree == now.tree
    assert [step.fingerprint for step in plan(before)] == [step.fingerprint for step in plan(now)]
    notes = [*before.notes, *capsys.readouterr().err.splitlines()]
    assert len(notes) == 1
    key = former.partition("=")[0]
    assert key in notes[0] or ".".join(key.split(".")[:2]) in notes[0]
    assert now.notes == ()


def test_a_file_of_before_is_laid_over_the_options_of_today(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "defaults: [default]\n_target_: genrec.stages.evaluate.Evaluator\nfloors:\n"
        "  ease: {max_items: 7}\n  other: {_target_: genrec.baselines.popularity.Popularity}\n",
        encoding="utf-8",
    )
    config = compose([*WORLD, f"evaluate={file}"])
    baselines = config.tree["evaluate"]["baselines"]
    assert baselines["ease"]["max_items"] == 7
    assert {"other", "popularity", "linear_text"} <= set(baselines)
    assert config.notes == ("note: evaluate.floors is evaluate.baselines now",)


def test_a_mistake_in_them_is_reported_under_the_name_of_today() -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.baselines\.ease\.max_items: expected .* 'few'"):
        compose([*WORLD, "evaluate.floors.ease.max_items=few"])


@pytest.mark.parametrize(("group", "former"), [(group, name) for group, names in RENAMED_OPTIONS.items() for name in names])
def test_the_option_of_a_former_name_is_there(group: str, former: str) -> None:
    assert (ROOT / "conf" / group / f"{RENAMED_OPTIONS[group][former]}.yaml").exists()
    assert not (ROOT / "conf" / group / f"{former}.yaml").exists()
