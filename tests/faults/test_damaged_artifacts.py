"""Every file of an artifact, flipped, cut, emptied, deleted, or with another beside it: refused by a line that names it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import toy_pipeline
from damage import damages, flipped
from ledger import Ledger

import genrec
from genrec.cli import main
from genrec.engine.artifacts import MANIFEST, SEAL, UNSEALED, Artifact, Store
from genrec.engine.config import compose
from genrec.engine.pipeline import execute
from genrec.engine.runs import STORE, Run
from genrec.errors import ArtifactError

REAL = [
    *("data=demo", "data.num_users=150", "data.num_items=80", "data.events_per_user=6.0", "tokenizer.codebook_size=8"),
    *("train.epochs=1", "train.num_validations=1", "device=cpu", "name=real"),
    *("generator.dim=16", "generator.num_heads=2", "generator.num_history_layers=1", "generator.num_decoder_layers=1"),
]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    with toy_pipeline.importable(tmp_path):
        monkeypatch.setattr(os, "fsync", lambda handle: None)
        toy_pipeline.install(monkeypatch, tmp_path)
        yield execute(compose(), until="train", log=lambda line: None)


def files_of(artifact: Artifact) -> list[Path]:
    return [artifact.path / name for name in (*artifact.manifest["files"], MANIFEST)]


def test_artifacts_of_a_toy_run(toy: Run, ledger: Ledger) -> None:
    for kind in toy.kinds:
        folder = (toy.path / kind).resolve()
        for file in files_of(Artifact(folder)):
            for what, named in damages(file):
                naming = str(named if named != folder / MANIFEST else folder)
                ledger.refused("artifact damaged", f"{file} {what}", partial(genrec.load, folder), naming)
        assert genrec.load(folder).kind == kind, "whole again"


def test_every_byte_of_a_manifest(toy: Run, ledger: Ledger) -> None:
    """Facts and settings are read from it, so it cannot vouch for itself by being json."""
    file = (toy.path / "tokenizer").resolve() / MANIFEST
    whole = file.read_bytes()
    for place in range(0, len(whole), 7):
        file.write_bytes(flipped(whole, place))
        ledger.refused("manifest damaged", place, Artifact(file.parent).check, str(file.parent))
    told = json.loads(whole)
    for name in told:
        file.write_text(json.dumps({key: value for key, value in told.items() if key != name}), encoding="utf-8")
        ledger.refused("manifest damaged", f"without {name}", Artifact(file.parent).check, str(file.parent))


def test_manifests_from_before_seals_are_opened(toy: Run) -> None:
    file = (toy.path / "tokenizer").resolve() / MANIFEST
    old = {key: value for key, value in json.loads(file.read_text(encoding="utf-8")).items() if key != SEAL} | {
        "schema": UNSEALED
    }
    file.write_text(json.dumps(old), encoding="utf-8")
    assert Artifact(file.parent).check(hashes=True).manifest == old


def test_a_damaged_input_stops_the_stage_that_reads_it(toy: Run, ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    """At the command line: exit code 2, one line, and what it says to do helps."""
    for kind in ("dataset", "tokenizer"):  # what training reads
        file = (toy.path / kind).resolve() / "out.txt"
        whole = file.read_bytes()
        file.write_bytes(flipped(whole, 1))
        ledger.inject("damaged input")
        capsys.readouterr()
        code = main(["train", "train.rate=0.7"])
        told = capsys.readouterr()
        ledger.told_by_command(kind, code, told.err, str(file))
        assert f"rm -r {file.parent}" in told.err
        file.write_bytes(whole)
    shutil.rmtree(file.parent)
    assert main(["train", "train.rate=0.7"]) == 0


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Run:
    runs = tmp_path_factory.mktemp("real")
    genrec.run(until="evaluate", quiet=True, overrides=[*REAL, f"paths.runs={runs}"])
    return genrec.run(until="export", quiet=True, overrides=[*REAL, f"paths.runs={runs}"])


@pytest.mark.slow
def test_artifacts_of_a_real_run(real: Run, ledger: Ledger) -> None:
    """All kinds. As a stage's input, and the bundle as what it is for."""
    store = real.path.parent / STORE
    assert len(real.kinds) >= 8
    for kind in real.kinds:
        folder = (real.path / kind).resolve()
        for file in files_of(Artifact(folder)):
            for what, named in damages(file):
                if kind == "bundle":
                    read = partial(genrec.load, folder)
                else:
                    read = partial(Store(store).open, kind, folder.name, wanted_by="a stage")
                naming = str(folder if named.name == MANIFEST else named)
                ledger.refused(f"{kind} damaged", f"{file.relative_to(folder)} {what}", read, naming)


@pytest.mark.slow
def test_a_damaged_evaluation_is_not_shown(real: Run, ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    file = (real.path / "evaluation").resolve() / "metrics.json"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"0.", b"1.", 1))
    for words in (["compare", str(real.path)], ["report", str(real.path)], ["ls", str(real.path.parent)]):
        ledger.inject("damaged evaluation")
        code = main(words)
        told = capsys.readouterr()
        if words[0] == "ls":  # one damaged run hides no other
            assert "Traceback" not in told.err
        else:
            ledger.told_by_command(words, code, told.err, "metrics.json")
    file.write_bytes(whole)
    with pytest.raises(ArtifactError, match="nothing"):
        real.artifact("calibration")
