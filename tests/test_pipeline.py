"""Planning, skipping, resuming, sharing: on toy stages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy_pipeline

from genrec.commands.run import run_and_compare
from genrec.engine.config import compose
from genrec.engine.pipeline import execute, plan
from genrec.engine.runs import Run
from genrec.engine.sweep import expand
from genrec.errors import ArtifactError, ConfigError, DataError

UNTIL = "train"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[toy_pipeline.Built]:
    with toy_pipeline.importable(tmp_path):
        yield toy_pipeline.install(monkeypatch, tmp_path)


def run(*overrides: str, until: str = UNTIL) -> tuple[Run, list[str]]:
    said: list[str] = []
    return execute(compose(overrides), until=until, log=said.append), said


def actions(*overrides: str) -> dict[str, tuple[str, str]]:
    return {step.stage.name: (step.action, step.reason) for step in plan(compose(overrides), until=UNTIL)}


def fingerprints(*overrides: str) -> dict[str, str]:
    return {step.stage.kind: step.fingerprint for step in plan(compose(overrides), until=UNTIL)}


def test_runs_in_order_and_then_skips(built: toy_pipeline.Built) -> None:
    made, said = run()
    assert built == ["prepare", "embed", "tokenize", "train"]
    assert (made.path / "generator" / "out.txt").read_text(encoding="utf-8").startswith("train + apple pear + tokenize")
    assert made.kinds == ("dataset", "encoder", "tokenizer", "generator")
    assert any(line.startswith("train: running (never run)") for line in said)
    _, said = run()
    assert len(built) == 4
    assert said[:4] == [f"{stage}: up to date" for stage in built]


def test_links_are_relative_so_that_a_runs_folder_can_move(built: toy_pipeline.Built, tmp_path: Path) -> None:
    made, _ = run()
    made.path.parent.rename(tmp_path / "moved")
    assert Run(tmp_path / "moved" / made.name).artifact("generator").check(hashes=True)


def test_only_what_the_components_need(built: toy_pipeline.Built) -> None:
    run("generator=scorer")
    assert built == ["prepare", "train"]
    built.clear()
    run("tokenizer=random")
    assert built == ["tokenize", "train"]


def test_a_stage_alone_makes_what_it_needs(built: toy_pipeline.Built) -> None:
    run(until="embed")
    assert built == ["prepare", "embed"]


def test_the_plan_says_why_and_runs_nothing(built: toy_pipeline.Built, tmp_path: Path) -> None:
    assert set(actions().values()) == {("run", "never run")}
    assert built == []
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").glob("*/dataset"))
    run()
    assert set(actions().values()) == {("skip", "up to date")}
    assert actions("tokenizer.num_levels=4") == {
        "prepare": ("skip", "up to date"),
        "embed": ("skip", "up to date"),
        "tokenize": ("run", "config tokenizer.num_levels changed 3 -> 4"),
        "train": ("run", "input tokenizer changed"),
    }
    (tmp_path / "shop.txt").write_text("cherry", encoding="utf-8")
    assert actions()["prepare"] == ("run", "content of data.file changed")
    assert actions("data.copies=2")["prepare"][1] == "config data.copies changed 1 -> 2; content of data.file changed"


def test_content_counts_and_paths_do_not(built: toy_pipeline.Built, tmp_path: Path) -> None:
    before = fingerprints()
    (tmp_path / "copy.txt").write_text("apple pear", encoding="utf-8")
    assert fingerprints(f"data.file={tmp_path}/copy.txt") == before
    (tmp_path / "copy.txt").write_text("apple peas", encoding="utf-8")
    assert set(fingerprints(f"data.file={tmp_path}/copy.txt").values()).isdisjoint(before.values())


def test_fingerprints_follow_only_what_matters(built: toy_pipeline.Built, tmp_path: Path) -> None:
    before = fingerprints()
    for override in ("name=other", "threads=1", "device=cpu", f"paths.runs={tmp_path}/x", "tokenizer.mode=fast"):
        assert fingerprints(override) == before, override
    changed = fingerprints("seed=1")
    assert {kind for kind in before if before[kind] != changed[kind]} == {"tokenizer", "generator"}


def test_another_name_finds_the_work_done(built: toy_pipeline.Built) -> None:
    run("name=one")
    _, said = run("name=two")
    assert len(built) == 4
    assert said[0] == "prepare: found in the store"


def test_a_changed_run_loses_its_stale_links_before_anything_runs(built: toy_pipeline.Built) -> None:
    made, _ = run()
    built.fail_in = "tokenize"
    with pytest.raises(RuntimeError):
        run("tokenizer.num_levels=4")
    assert made.kinds == ("dataset", "encoder")
    with pytest.raises(ArtifactError, match="genrec run"):
        made.artifact("generator")


def test_an_interrupted_stage_is_resumed_and_finished_ones_are_not_repeated(built: toy_pipeline.Built) -> None:
    built.fail_in = "tokenize"
    with pytest.raises(RuntimeError):
        run()
    assert actions()["tokenize"] == ("resume", "was interrupted")
    built.fail_in = None
    run()
    assert built == ["prepare", "embed", "tokenize", "tokenize", "train"]


def test_a_damaged_input_is_told(built: toy_pipeline.Built) -> None:
    made, _ = run()
    file = made.path / "tokenizer" / "out.txt"
    file.write_text(file.read_text(encoding="utf-8").swapcase(), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"sha256 .* got sha256 .*genrec tokenize"):
        run("train.epochs=3")


def test_a_mixed_run_folder_is_told(built: toy_pipeline.Built) -> None:
    made, _ = run()
    other, _ = run("name=other", "tokenizer.num_levels=4")
    made.link("tokenizer", other.links["tokenizer"])
    with pytest.raises(ArtifactError, match=f"{other.links['tokenizer']}.*genrec train"):
        made.artifact("generator")


@pytest.mark.parametrize("name", ["../up", "a/b", " ", ".hidden", "-flag", "x" * 201])
def test_names_that_are_no_folder_are_refused(built: toy_pipeline.Built, name: str) -> None:
    with pytest.raises(ConfigError, match="name: expected letters"):
        plan(compose([f"name='{name}'"]), until=UNTIL)


def test_a_missing_external_file_is_told(built: toy_pipeline.Built) -> None:
    with pytest.raises(DataError, match=r"data\.file: expected a file or folder, got nothing at /no/such\.txt"):
        plan(compose(["data.file=/no/such.txt"]), until=UNTIL)


def test_a_strategy_that_does_not_fit_is_refused_before_anything_runs(built: toy_pipeline.Built) -> None:
    with pytest.raises(
        ConfigError, match=r"decoding: expected a strategy for Scorer \(item_scorer\), got Beam \(autoregressive\)"
    ):
        run("generator=scorer", "decoding=beam")
    assert built == []


def test_too_few_beams_are_refused_before_anything_runs(built: toy_pipeline.Built) -> None:
    with pytest.raises(ConfigError, match=r"decoding\.beams: expected at least 9, got 5"):
        run("recommend.k=9")
    assert built == []


def test_no_setting_is_ignored_in_silence(built: toy_pipeline.Built) -> None:
    _, said = run("generator=scorer", "tokenizer.num_levels=5", "train.epochs=3")
    assert [line for line in said if line.startswith("note:")] == [
        "note: tokenizer.num_levels=5 has no effect here: no needed stage reads tokenizer"
    ]


def test_a_sweep_names_its_jobs_and_shares_work(built: toy_pipeline.Built, tmp_path: Path) -> None:
    said: list[str] = []
    code = run_and_compare(expand(["tokenizer=fitted,random", "seed=0,1", "name=s"]), until=UNTIL, log=said.append)
    assert code == 0
    names = sorted(path.name for path in (tmp_path / "runs").iterdir() if not path.name.startswith("."))
    assert names == [f"s,tokenizer={tokenizer},seed={seed}" for tokenizer in ("fitted", "random") for seed in (0, 1)]
    assert built.count("prepare") == built.count("embed") == 1
    # RandomTokenizer has no seed of its own in the yaml: one tokenizer for both seeds.
    assert built.count("tokenize") == 3
    assert "job 2/4: s,tokenizer=fitted,seed=1" in said


def test_names_of_jobs() -> None:
    assert [job.suffix for job in expand(["seed=0", "x=1"])] == [""]
    assert [job.suffix for job in expand(["seed=0,1", "name=run_${seed}"])] == ["", ""]
    odd = [job.suffix for job in expand(["data.file=/a/b,/a-b"])]
    assert odd[0] != odd[1]
    assert "/" not in odd[0]
    assert [job.overrides for job in expand(["seed=range(2)"])] == [("seed=0",), ("seed=1",)]


def test_a_failing_job_costs_only_itself(
    built: toy_pipeline.Built, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from genrec.engine import sweep

    def fragile(config, **more):  # type: ignore[no-untyped-def]
        if config.tree["seed"] == 0:
            raise DataError("seed", expected="luck", got=0, fix="try another")
        return execute(config, **more)

    monkeypatch.setattr(sweep, "execute", fragile)
    assert run_and_compare(expand(["seed=0,1"]), until=UNTIL, log=lambda line: None) == 2
    assert "failed: default,seed=0: seed: expected luck, got 0" in capsys.readouterr().err
    assert Run(tmp_path / "runs" / "default,seed=1").kinds


def test_a_mistake_in_any_job_is_told_before_the_first_runs(built: toy_pipeline.Built) -> None:
    with pytest.raises(ConfigError, match="num_levels"):
        run_and_compare(expand(["tokenizer.num_levels=3,0"]), until=UNTIL)
    assert built == []


def test_the_record_tells_what_was_wanted(built: toy_pipeline.Built) -> None:
    made, _ = run("seed=5")
    record = json.loads((made.path / "run.json").read_text(encoding="utf-8"))
    assert record["overrides"] == ["seed=5"]
    assert record["config"]["tokenizer"]["seed"] == 5
    assert record["wanted"] == made.links


def test_python_and_command_line_are_the_same(built: toy_pipeline.Built, capsys: pytest.CaptureFixture[str]) -> None:
    import genrec

    made = genrec.run(until=UNTIL, tokenizer="random", seed=1, name="py", overrides=["train.epochs=3"], quiet=True)
    assert capsys.readouterr().out == ""
    assert made.links == run("tokenizer=random", "seed=1", "train.epochs=3")[0].links
    assert genrec.load(made.path).links == made.links
    assert genrec.load(made.path / "generator").facts == {"parts": 3}
    with pytest.raises(ArtifactError, match="neither"):
        genrec.load(made.path.parent)
    made = genrec.run(
        until="tokenize", plugins=["toy_shop"], train={"betas": [0.5, 0.9], "init": "a b"}, threads=None, quiet=True
    )
    assert made.config["train"]["betas"] == [0.5, 0.9]
