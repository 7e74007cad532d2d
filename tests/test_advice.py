"""What is advised when a model does not beat counting: from its diagnosis and settings, and every command runs."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from genrec.cli import main
from genrec.diagnosis.id_health import fitting_codebook, warnings
from genrec.engine.artifacts import Artifact
from genrec.engine.runs import Run
from genrec.reports.report import write_report
from genrec.reports.verdict import advice_of, command

WEAK = [
    *("data=demo", "data.num_users=60", "data.num_items=240", "data.events_per_user=8.0", "encoder=collaborative"),
    *("tokenizer.codebook_size=128", "tokenizer.iterations=3", "train.epochs=1", "train.num_validations=1", "device=cpu"),
    *("generator.dim=16", "generator.num_heads=2", "generator.num_history_layers=1", "generator.num_decoder_layers=1"),
    *("recommend.k=10", "evaluate.draws=50", "decoding.num_beams=10", "diagnose.num_users=30", "diagnose.because_of=0"),
]


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    """A tiny model that cannot beat counting, and what the terminal said."""
    import contextlib
    import io

    runs, told = tmp_path_factory.mktemp("weak") / "runs", io.StringIO()
    with contextlib.redirect_stdout(told):
        assert main(["run", *WEAK, f"paths.runs={json.dumps(str(runs))}", "name=weak"]) == 0
    return Run(runs / "weak"), told.getvalue()


def test_what_is_advised(weak: tuple[Run, str]) -> None:
    run, told = weak
    pieces = {piece.command.rpartition("name=weak_")[2]: piece for piece in advice_of(run)}
    assert {"fusion", "longer", f"codes{fitting_codebook(240)}", "texts"} <= set(pieces)
    assert "decoding=fusion" in pieces["fusion"].command
    assert "decoding.num_beams" not in pieces["fusion"].command, "a setting of the strategy that is replaced"
    assert "train.epochs=2" in pieces["longer"].command
    assert "train.epochs=1 " not in pieces["longer"].command
    page = write_report(run).read_text(encoding="utf-8")
    assert "What to try next" in page
    for piece in pieces.values():
        assert piece.command in told
        assert piece.reason in told


@pytest.mark.parametrize("label", ["fusion", "longer", "codes16", "texts", "beams20"])
def test_every_advised_command_runs(weak: tuple[Run, str], label: str, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = weak
    commands = {piece.command.rpartition("name=weak_")[2]: piece.command for piece in advice_of(run)}
    commands.setdefault("beams20", command(run, "beams20", ["decoding.num_beams=20"]))  # advised where beams lose items
    program, *arguments = shlex.split(commands[label])
    assert program == "genrec"
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert (run.path.with_name(f"weak_{label}") / "report.html").exists()
    if label in ("fusion", "beams20"):
        assert "train: found in the store" in told, "nothing is trained again"


def changed(run: Run, monkeypatch: pytest.MonkeyPatch, **metrics: Any) -> Run:
    whole = run.metrics | metrics
    monkeypatch.setattr(Run, "metrics", property(lambda self: whole))
    return run


@pytest.mark.parametrize(
    ("lead", "interval", "advised"),
    [(0.05, [0.01, 0.09], False), (-0.05, [-0.09, -0.01], True), (0.01, [-0.01, 0.03], True), (0.0, [0.0, 0.0], True)],
)
def test_only_who_is_not_clearly_above_gets_advice(
    weak: tuple[Run, str], monkeypatch: pytest.MonkeyPatch, lead: float, interval: list[float], advised: bool
) -> None:
    best = {"test": {"name": "x", "metric": "test/ndcg@10", "lead": lead, "interval": interval}}
    assert bool(advice_of(changed(weak[0], monkeypatch, best_baseline=best))) is advised


def test_a_baseline_and_other_programs_lists_get_no_advice(weak: tuple[Run, str], monkeypatch: pytest.MonkeyPatch) -> None:
    rules = weak[0].metrics["rules"]
    assert advice_of(changed(weak[0], monkeypatch, measured="transitions")) == []
    assert advice_of(changed(weak[0], monkeypatch, rules=rules | {"source": "file"}, measured=None)) == []


def test_the_head_of_the_report_says_what_the_run_is(weak: tuple[Run, str]) -> None:
    page = write_report(weak[0]).read_text(encoding="utf-8")
    head = page[: page.index('class="tiles"')]
    for told in (
        "demo · 60 users, 240 items",
        "encdec",
        "rq_kmeans",
        "append_level",
        "collaborative",
        "trie_beam",
        "genrec run",
    ):
        assert told in head
    assert "data.num_users=60" in head
    assert "95 % of the lead" not in page


@pytest.mark.parametrize(
    ("items", "size", "told"),
    [
        (1500, 256, "tokenizer.codebook_size=64 fits 1,500 items"),
        (240, 128, "tokenizer.codebook_size=16 fits 240 items"),
        (800, 256, "tokenizer.codebook_size=32 fits 800 items"),
        (12_101, 4096, "tokenizer.codebook_size=128 fits 12,101 items"),
        (1500, 64, "are the vectors centred and whitened"),
        (1500, None, "are the vectors centred and whitened"),
    ],
)
def test_the_warning_names_the_setting(items: int, size: int | None, told: str) -> None:
    levels = [{"size": size or 256, "perplexity": 2.0}, {"size": size or 256, "perplexity": size or 256.0}]
    [line] = warnings({"num_items": items, "levels": levels}, size)
    assert told in line
    assert line.startswith("WARNING: level 0 ")


def test_a_training_that_diverged_is_not_told_to_go_on(weak: tuple[Run, str], monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = weak
    facts = Artifact(run.path / "generator").facts
    sentence = "training diverged: its loss is 7,605 in the last round; try train.lr=0.001"
    monkeypatch.setattr(Artifact, "facts", property(lambda self: facts | {"diverged": sentence}))
    pieces = {piece.command.rpartition("name=weak_")[2]: piece for piece in advice_of(run)}
    assert "longer" not in pieces
    assert next(iter(pieces)) == "lr"
    assert pieces["lr"].reason == "Training diverged: its loss is 7,605 in the last round."
    assert "train.lr=0.001" in shlex.split(pieces["lr"].command)
