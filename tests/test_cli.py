"""The command line: quick before the command is known, one line for a user's error, the exit code that fits."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import toy_pipeline

import genrec
from genrec.cli import main
from genrec.engine.artifacts import Store
from genrec.engine.runs import Run

# Subprocesses find the package that is tested, installed or not.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(genrec.__file__).parents[1])}
HEAVY = ("torch", "lightning", "transformers", "polars", "numpy", "hydra", "omegaconf", "sklearn", "rich", "wandb")


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[toy_pipeline.Built]:
    with toy_pipeline.importable(tmp_path):
        monkeypatch.chdir(tmp_path)
        yield toy_pipeline.install(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["ls"], ["show", "r"], ["gc"], ["run", "--help"], ["tokenize", "--help"]], ids=" ".join
)
def test_nothing_heavy_is_imported(words: list[str], tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "r")
    run.start({}, [], {})
    code = (
        f"import sys\nfrom genrec.cli import main\ntry:\n    main({words!r})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=ENVIRONMENT, text=True, cwd=tmp_path, check=True
    )
    assert done.stderr.strip() == "[]"
    assert done.stdout


@pytest.mark.parametrize("word", ["--help", "ls"])
def test_answers_in_under_a_second(word: str, tmp_path: Path) -> None:
    def cpu_seconds() -> float:  # not wall time: other processes are no fault of ours
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "genrec", word], capture_output=True, env=ENVIRONMENT, cwd=tmp_path, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cpu_seconds() for _ in range(3)) < 1.0


def test_help_lists_commands_and_groups(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    for word in ("run", "prepare", "evaluate", "ls", "show", "init", "gc"):
        assert f"\n  {word} " in overview
    with pytest.raises(SystemExit) as caught:
        main(["run", "--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    for word in ("tokenizer", "rq_kmeans", "generator", "encdec", "--plan", "--multirun"):
        assert word in told


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenise"]) == 2
    assert capsys.readouterr().err == "command: expected a command of genrec, got tokenise; did you mean tokenize?\n"


def test_a_users_error_is_one_line_and_exit_code_2(built: toy_pipeline.Built, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "tokenizer.num_level=4"]) == 2
    assert capsys.readouterr().err == "tokenizer.num_level: unknown key; did you mean num_levels?\n"


def test_a_traceback_only_when_asked_for(built: toy_pipeline.Built, monkeypatch: pytest.MonkeyPatch) -> None:
    from genrec.errors import ConfigError

    monkeypatch.setenv("GENREC_TRACEBACK", "1")
    with pytest.raises(ConfigError):
        main(["run", "tokenizer.num_level=4"])


def test_a_bug_is_exit_code_1_with_a_traceback(tmp_path: Path) -> None:
    code = "import genrec.cli as c\ndef f(*a): raise KeyError('bug')\nc._dispatch = f\nraise SystemExit(c.main(['ls']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=ENVIRONMENT, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_interrupted_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(name: str, words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("genrec.cli._dispatch", interrupt)
    assert main(["ls"]) == 130


def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    command = f"{sys.executable} -m genrec run --help | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, env=ENVIRONMENT, text=True, check=True, cwd=tmp_path)
    assert done.stderr == ""


def test_stage_plan_run_ls_show_gc(built: toy_pipeline.Built, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--plan", "name=a"]) == 0
    assert "tokenize   run     never run" in capsys.readouterr().out
    assert built == []
    assert main(["train", "name=a"]) == 0
    assert built == ["prepare", "embed", "tokenize", "train"]
    capsys.readouterr()

    def evaluation(folder: Path, work: Path) -> dict[str, Any]:
        (folder / "metrics.json").write_text(
            json.dumps({"model": {"test/recall@10": 0.125, "test/ndcg@10": 0.0625}}), encoding="utf-8"
        )
        return {}

    made = Store(Path("runs/elsewhere")).make("evaluation", "f1", evaluation, stage="evaluate", config={}, inputs={})
    Path("runs/a/evaluation").symlink_to(made.path.resolve())
    assert main(["ls"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("a ")]
    assert "0.1250     0.0625" in line
    assert "generator" in line

    assert main(["show", "a", "--verify"]) == 0
    told = capsys.readouterr().out
    assert "overrides: name=a" in told
    assert told.count("verified") == 5
    assert main(["show", "runs/a/generator"]) == 0
    told = capsys.readouterr().out
    assert "made by `genrec train`" in told
    assert "    dataset" in told
    assert "data.file@" in told
    assert '"parts": 3' in told
    assert main(["show", "b"]) == 2
    assert "b: expected a run or an artifact, got neither" in capsys.readouterr().err


def test_gc_deletes_what_no_run_needs_and_only_when_told(built: toy_pipeline.Built, capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "name=a"])
    old = Run(Path("runs/a")).links
    main(["train", "name=a", "tokenizer.num_levels=4"])
    new = Run(Path("runs/a")).links
    capsys.readouterr()
    assert main(["gc"]) == 0
    told = capsys.readouterr().out
    for kind in ("tokenizer", "generator"):
        assert old[kind] in told
        assert new[kind] not in told
        assert (Path("runs/.store") / kind / old[kind]).exists()
    assert new["dataset"] not in told
    assert main(["gc", "--yes"]) == 0
    for kind in ("tokenizer", "generator"):
        assert not (Path("runs/.store") / kind / old[kind]).exists()
    assert main(["show", "a", "--verify"]) == 0


def test_gc_keeps_what_an_interrupted_run_goes_on_with(built: toy_pipeline.Built) -> None:
    built.fail_in = "tokenize"
    with pytest.raises(RuntimeError):
        main(["train", "name=a"])
    assert main(["gc", "--yes"]) == 0
    assert list(Path("runs/.store/tokenizer").glob("*.work/checkpoint"))


def test_multirun_from_the_command_line(built: toy_pipeline.Built) -> None:
    assert main(["tokenize", "-m", "seed=0,1", "name=m"]) == 0
    assert sorted(run.name for run in Path("runs").iterdir() if run.name[0] != ".") == ["m,seed=0", "m,seed=1"]
    assert built == ["prepare", "embed", "tokenize", "tokenize"]
