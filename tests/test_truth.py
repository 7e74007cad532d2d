"""Nothing stands under a fingerprint that is not its own: plug-ins' source, files that change, weights, runs and audits."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import toy_pipeline

import genrec
from genrec.cli import main
from genrec.commands.run import run_and_compare
from genrec.engine.artifacts import Store, seal_manifest
from genrec.engine.components import component_class
from genrec.engine.config import compose
from genrec.engine.fingerprints import ContentHashes
from genrec.engine.outside_content import modules_of, plugin_sources
from genrec.engine.pipeline import Force, execute, plan
from genrec.engine.runs import LOCK, Run
from genrec.engine.store_files import Lock
from genrec.engine.sweep import Job
from genrec.errors import ConfigError, DataError
from genrec.stages.train import STAGE as TRAIN
from genrec.stages.train import weights_file


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[toy_pipeline.Built]:
    with toy_pipeline.importable(tmp_path):
        monkeypatch.setattr(os, "fsync", lambda handle: None)
        yield toy_pipeline.install(monkeypatch, tmp_path)


def made(*overrides: str, force: tuple[str, ...] = (), until: str = "train") -> tuple[Run, list[str]]:
    said: list[str] = []
    return execute(compose(overrides), until=until, log=said.append, force=Force(frozenset(force))), said


# --- the source of plug-ins ----------------------------------------------------------------------------------------------

PACKAGE = {
    "__init__.py": "",
    "encoder.py": "from mine.maths import scale\nfrom . import tables\nfrom .deep import *\nclass Encoder: pass\n",
    "maths.py": "import numpy\nimport mine.numbers\ndef scale(): pass\n",
    "numbers.py": "import sys\n",
    "tables.py": "",
    "deep/__init__.py": "from .lower import x\n",
    "deep/lower.py": "from ..above import y\nx = 1\n",
    "above.py": "y = 1\n",
    "base_class.py": "class Base: pass\n",
    "child.py": "from mine.base_class import Base\nclass Child(Base): pass\n",
    "lazy.py": "class Lazy:\n    def encode(self):\n        from mine import late\n",
    "late.py": "",
    "other.py": "class Other: pass\n",
}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    package = tmp_path / "mine"
    for name, text in PACKAGE.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("genrec.engine.components._allowed", {"genrec", "mine"})
    yield package
    forget("mine")


def forget(package: str) -> None:
    """What a new process would not have."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    importlib.invalidate_caches()


def modules(target: str) -> dict[str, str]:
    forget("mine")
    return dict(modules_of(component_class({"_target_": target})))


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (
            "mine.encoder.Encoder",
            ["mine", "mine.above", "mine.deep", "mine.deep.lower", "mine.encoder", "mine.maths", "mine.numbers", "mine.tables"],
        ),
        ("mine.child.Child", ["mine", "mine.base_class", "mine.child"]),
        ("mine.lazy.Lazy", ["mine", "mine.late", "mine.lazy"]),
        ("mine.other.Other", ["mine", "mine.other"]),
    ],
)
def test_what_a_class_is_made_of(mine: Path, target: str, names: list[str]) -> None:
    assert sorted(modules(target)) == names


@pytest.mark.parametrize(
    ("file", "target", "counts"),
    [
        ("encoder.py", "mine.encoder.Encoder", True),
        ("maths.py", "mine.encoder.Encoder", True),
        ("numbers.py", "mine.encoder.Encoder", True),
        ("deep/lower.py", "mine.encoder.Encoder", True),
        ("above.py", "mine.encoder.Encoder", True),
        ("__init__.py", "mine.encoder.Encoder", True),
        ("base_class.py", "mine.child.Child", True),
        ("late.py", "mine.lazy.Lazy", True),
        ("other.py", "mine.encoder.Encoder", False),
        ("late.py", "mine.other.Other", False),
    ],
)
def test_which_edits_count(mine: Path, file: str, target: str, counts: bool) -> None:
    before = modules(target)
    (mine / file).write_text(PACKAGE[file] + "z = 2\n", encoding="utf-8")
    after = modules(target)
    changed = [name for name in after if before[name] != after[name]]
    assert changed == ([".".join(["mine", *Path(file).with_suffix("").parts]).removesuffix(".__init__")] if counts else [])


def test_parts_inside_of_genrecs_own_components_count(mine: Path) -> None:
    inner = {"_target_": "mine.other.Other"}
    for node in ({"_target_": "genrec.x.Y", "part": inner}, {"_target_": "genrec.x.Y", "parts": [{"a": inner}]}):
        assert list(plugin_sources(node)) == ["source of mine", "source of mine.other"]
    assert plugin_sources({"_target_": "genrec.x.Y", "columns": ["a"]}) == {}


def test_a_process_keeps_the_code_that_it_has(mine: Path) -> None:
    """Edited on disk, but not imported again: the old code would run, so the old source counts."""
    component = component_class({"_target_": "mine.other.Other"})
    before = modules_of(component)
    (mine / "other.py").write_text("class Other: x = 1\n", encoding="utf-8")
    assert modules_of(component) == before
    importlib.reload(sys.modules["mine.other"])
    assert modules_of(component_class({"_target_": "mine.other.Other"})) != before


def test_an_edited_plugin_runs_again_with_what_follows(built: toy_pipeline.Built, tmp_path: Path) -> None:
    (tmp_path / "toy_shop" / "late.py").write_text("", encoding="utf-8")
    parts = tmp_path / "toy_shop" / "parts.py"
    (tmp_path / "toy_shop" / "own.py").write_text(
        "from toy_shop.parts import Encoder\nclass Mine(Encoder): ...\n", encoding="utf-8"
    )
    overrides = ["encoder._target_=toy_shop.own.Mine"]
    made(*overrides)
    assert made(*overrides)[1][:4] == [f"{stage}: up to date" for stage in ("prepare", "embed", "tokenize", "train")]
    built.clear()
    (tmp_path / "toy_shop" / "own.py").write_text(
        "from toy_shop.parts import Encoder\nclass Mine(Encoder): x = 1\n", encoding="utf-8"
    )
    forget("toy_shop")
    steps = {step.stage.name: step.reason for step in plan(compose(overrides), until="train")}
    assert steps["embed"] == "source of toy_shop.own changed"
    assert steps["prepare"] == "up to date"
    made(*overrides)
    assert built == ["embed", "tokenize", "train"]
    built.clear()
    parts.write_text(parts.read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")
    forget("toy_shop")
    made(*overrides)
    assert built == ["prepare", "embed", "tokenize", "train"]


def test_genrecs_own_source_does_not_count() -> None:
    node = compose(["data=demo"]).tree["tokenizer"]
    assert plugin_sources(node) == {}


# --- --force ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("force", "again"),
    [
        ((), []),
        (("train",), ["train"]),
        (("tokenize",), ["tokenize", "train"]),
        (("embed",), ["embed", "tokenize", "train"]),
        (("prepare",), ["prepare", "embed", "tokenize", "train"]),
        (("train", "embed"), ["embed", "tokenize", "train"]),
    ],
)
def test_a_forced_stage_and_what_follows_are_made_anew(
    built: toy_pipeline.Built, force: tuple[str, ...], again: list[str]
) -> None:
    first, _ = made()
    before = {kind: (first.path / kind / "manifest.json").stat().st_mtime_ns for kind in first.kinds}
    built.clear()
    run, said = made(force=force)
    assert built == again
    kinds = {"prepare": "dataset", "embed": "encoder", "tokenize": "tokenizer", "train": "generator"}
    changed = {kind for kind in run.kinds if (run.path / kind / "manifest.json").stat().st_mtime_ns != before[kind]}
    assert changed == {kinds[stage] for stage in again}
    for stage in force:
        assert f"{stage}: running (forced)" in said
    assert made()[1][:4] == [f"{stage}: up to date" for stage in kinds]
    assert not list(run.store.root.glob("*/*.old"))
    assert not list(run.store.root.glob("*/*.tmp"))


def test_what_was_there_stays_until_the_new_one_is_whole(built: toy_pipeline.Built) -> None:
    run, _ = made()
    built.fail_in = "tokenize"
    with pytest.raises(RuntimeError):
        made(force=("tokenize",))
    assert run.artifact("tokenizer").check(hashes=True)
    assert run.artifact("generator").check(hashes=True)


def test_forced_from_the_command_line(built: toy_pipeline.Built, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 0
    for words in (["--force", "tokenize"], ["--force", "tokenize,train"], ["--force", "train", "--force", "tokenize"]):
        built.clear()
        assert main(["train", *words]) == 0
        assert built == ["tokenize", "train"]
    assert main(["train", "--plan", "--force", "embed"]) == 0
    assert "embed      run     forced" in capsys.readouterr().out
    assert main(["train", "--force", "tokenise"]) == 2
    assert "--force: expected a stage that this command needs, got tokenise; did you mean tokenize?" in capsys.readouterr().err
    assert genrec.run(until="train", force="train", quiet=True).kinds
    with pytest.raises(ConfigError, match="got evaluate"):
        genrec.run(until="train", force=["evaluate"], quiet=True)


def test_a_sweep_forces_what_its_jobs_share_once(built: toy_pipeline.Built) -> None:
    jobs = [Job((f"train.epochs={n}",), f",train.epochs={n}") for n in (2, 3)]
    assert run_and_compare(jobs, until="train", log=lambda line: None) == 0
    built.clear()
    assert run_and_compare(jobs, until="train", log=lambda line: None, force=["tokenize"]) == 0
    assert built == ["tokenize", "train", "train"]


# --- files that change ---------------------------------------------------------------------------------------------------


def test_a_file_that_changes_while_a_run_waits(built: toy_pipeline.Built, tmp_path: Path) -> None:
    """What is read stands under its own hash; with the old content back, it is made of the old content."""
    file, lock = tmp_path / "shop.txt", Lock(tmp_path / "runs" / "default" / LOCK)
    assert lock.take()
    said: list[str] = []

    def log(line: str) -> None:
        said.append(line)
        if line.startswith("waiting"):
            file.write_text("cherry plum", encoding="utf-8")
            lock.free()

    run = execute(compose(), until="train", log=log)
    assert any(line.startswith("waiting") for line in said)
    dataset = run.artifact("dataset")
    assert (dataset.path / "out.txt").read_text(encoding="utf-8") == "cherry plum"
    assert dataset.manifest["external"]["data.file"] == sha256(b"cherry plum").hexdigest()
    file.write_text("apple pear", encoding="utf-8")
    run, _ = made()
    assert (run.artifact("dataset").path / "out.txt").read_text(encoding="utf-8") == "apple pear"


@pytest.mark.parametrize("change", ["cherry plum", "apple pea", "apple pear\n", "", "apple peaR"])
def test_a_file_that_changes_while_a_stage_reads_it(
    built: toy_pipeline.Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    file = tmp_path / "shop.txt"
    stage = toy_pipeline.stages(built)["prepare"]

    def build(run: Any) -> dict[str, Any]:
        facts = stage.build(run)
        file.write_text(change, encoding="utf-8")
        return facts

    swap(monkeypatch, "prepare", build)
    with pytest.raises(
        DataError, match=r"data\.file: expected .*shop\.txt as it was when `genrec prepare` was planned"
    ) as caught:
        made()
    assert sha256(change.encode()).hexdigest()[:12] in str(caught.value)
    store = Store(tmp_path / "runs" / ".store")
    for kind, fingerprint in store.entries():
        assert store.find(kind, fingerprint) is None
        assert not store.work(kind, fingerprint).exists()


def swap(monkeypatch: pytest.MonkeyPatch, name: str, build: Callable[[Any], dict[str, Any]]) -> None:
    from dataclasses import replace

    from genrec.engine import pipeline

    table = {other: pipeline.load_stage(other) for other in pipeline.STAGES}
    table[name] = replace(table[name], build=build)
    monkeypatch.setattr(pipeline, "load_stage", table.__getitem__)


def test_a_file_of_a_late_stage_that_changes_while_early_ones_run(
    built: toy_pipeline.Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = tmp_path / "late.txt"
    late.write_text("one", encoding="utf-8")
    stage = toy_pipeline.stages(built)["embed"]

    def build(run: Any) -> dict[str, Any]:
        late.write_text("two", encoding="utf-8")
        return stage.build(run)

    swap(monkeypatch, "embed", build)
    part = f"train.parts={{a: {{_target_: toy_shop.parts.Part, files: ['{late}']}}}}"
    with pytest.raises(DataError, match=r"train\.parts\.a\.files\[0\]: expected .* was planned .*; nothing of it was kept"):
        made(part)
    assert built == ["prepare", "embed", "tokenize"]  # and nothing was trained on it
    made(part)
    assert built == ["prepare", "embed", "tokenize", "train"]


def test_two_changes_within_a_tick_of_the_clock(tmp_path: Path) -> None:
    hashes, file = ContentHashes(tmp_path / "hashes.json"), tmp_path / "x"
    for number in range(20):
        text = f"{number:03d}"
        file.write_text(text, encoding="utf-8")
        assert hashes.of(file) == sha256(text.encode()).hexdigest()


def test_threads_share_the_cache_of_hashes(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.txt" for number in range(20)]
    for file in files:
        file.write_text(file.name, encoding="utf-8")
    hashes = ContentHashes(tmp_path / "hashes.json")
    wrong: list[Path] = []

    def work() -> None:
        wrong.extend(file for file in files if hashes.of(file) != sha256(file.name.encode()).hexdigest())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    json.loads((tmp_path / "hashes.json").read_text(encoding="utf-8"))


def test_threads_run_pipelines(built: toy_pipeline.Built) -> None:
    """Three that share their first stages and differ in the others; each has its own."""
    runs: dict[int, Run] = {}

    def work(levels: int) -> None:
        runs[levels] = genrec.run(overrides=[f"tokenizer.num_levels={levels}"], name=f"r{levels}", until="train", quiet=True)

    threads = [threading.Thread(target=work, args=(levels,)) for levels in (3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {levels: run.artifact("tokenizer").config["tokenizer"]["num_levels"] for levels, run in runs.items()} == {
        3: 3,
        4: 4,
        5: 5,
    }
    assert sorted(built) == ["embed", "prepare", *["tokenize"] * 3, *["train"] * 3]


# --- folders, artifacts, weights ----------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a file, a folder, and links to a file, to a folder, to nothing, and back to itself."""
    folder, outside = tmp_path / "pictures", tmp_path / "outside"
    (folder / "a").mkdir(parents=True)
    (outside / "deep").mkdir(parents=True)
    for file in (folder / "1.txt", folder / "a" / "2.txt", outside / "3.txt", outside / "deep" / "4.txt", tmp_path / "5.txt"):
        file.write_text("x", encoding="utf-8")
    (folder / "linked").symlink_to(outside)
    (folder / "5.txt").symlink_to(tmp_path / "5.txt")
    (folder / "nothing").symlink_to(tmp_path / "nowhere")
    (folder / "a" / "back").symlink_to(folder)
    (outside / "deep" / "back").symlink_to(outside)
    (folder / ".hidden").write_text("x", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("pictures/1.txt", True),
        ("pictures/a/2.txt", True),
        ("outside/3.txt", True),
        ("outside/deep/4.txt", True),
        ("5.txt", True),
        ("nowhere", True),
        ("pictures/new.txt", True),
        ("pictures/.hidden", False),
        ("elsewhere.txt", False),
    ],
)
def test_a_folder_counts_through_its_links(tmp_path: Path, pictures: Path, file: str, counts: bool) -> None:
    hashes = ContentHashes(tmp_path / "hashes.json")
    before = hashes.of(pictures)
    (tmp_path / file).write_text("y", encoding="utf-8")
    assert (hashes.of(pictures) != before) is counts


def artifact(root: Path, kind: str = "generator", fingerprint: str = "f1") -> Path:
    def build(folder: Path, work: Path) -> dict[str, Any]:
        (folder / "model.safetensors").write_bytes(b"weights")
        return {}

    return Store(root).make(kind, fingerprint, build, stage="train", config={}, inputs={}).path


def rewrite(folder: Path, **changes: Any) -> None:
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps({key: value for key, value in manifest.items() if value is not None}), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "is_identity"),
    [
        (lambda folder: None, True),
        (lambda folder: (folder / ".DS_Store").write_text("x", encoding="utf-8"), True),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"Weights"), False),
        (lambda folder: (folder / "model.safetensors").unlink(), False),
        (lambda folder: (folder / "more.txt").write_text("x", encoding="utf-8"), False),
        (lambda folder: rewrite(folder, seal="0" * 16), False),
        (lambda folder: rewrite(folder, seal=None), False),
        (lambda folder: rewrite(folder, fingerprint="f2"), False),
        (lambda folder: (folder / "manifest.json").write_text('{"fingerprint": "web"}', encoding="utf-8"), False),
        (lambda folder: (folder / "manifest.json").write_text("[]", encoding="utf-8"), False),
    ],
)
def test_a_manifest_is_an_identity_only_where_it_is_genrecs_and_true(
    tmp_path: Path, change: Callable[[Path], Any], is_identity: bool
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(artifact(tmp_path / "store"), folder)
    change(folder)
    assert (ContentHashes(tmp_path / "hashes.json").of(folder) == "f1") is is_identity


def test_a_web_manifest_hides_no_change(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "manifest.json").write_text(json.dumps(seal_manifest({"fingerprint": "web"})), encoding="utf-8")
    hashes, before = ContentHashes(tmp_path / "hashes.json"), ""
    for text in ("a", "b"):
        (tmp_path / "site" / "page.txt").write_text(text, encoding="utf-8")
        assert hashes.of(tmp_path / "site") not in ("web", before)
        before = hashes.of(tmp_path / "site")


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda run, copy: (run / "report.html").write_text("newer", encoding="utf-8"), False),
        (lambda run, copy: (run / "run.json").write_text("{}", encoding="utf-8"), False),
        (lambda run, copy: (run / "logs").mkdir(), False),
        (lambda run, copy: relink(run, copy, b"weights"), False),
        (lambda run, copy: relink(run, copy, b"Weights"), True),
        (lambda run, copy: (run.parent / "store" / "generator" / "f1" / "model.safetensors").write_bytes(b"0eights"), True),
    ],
)
def test_init_from_counts_by_the_weights_that_are_loaded(
    tmp_path: Path, change: Callable[[Path, Path], Any], counts: bool
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "report.html").write_text("old", encoding="utf-8")
    (run / "generator").symlink_to(artifact(tmp_path / "store"))
    hashes, resolve = ContentHashes(tmp_path / "hashes.json"), TRAIN.stands_for["train.init_from"]
    before = hashes.of(resolve(run))
    assert hashes.of(resolve(run / "generator")) == before == hashes.of(weights_file(run))
    change(run, tmp_path / "copy")
    assert (hashes.of(resolve(run)) != before) is counts


def relink(run: Path, copy: Path, weights: bytes) -> None:
    shutil.copytree(run / "generator", copy)
    (copy / "model.safetensors").write_bytes(weights)
    (run / "generator").unlink()
    (run / "generator").symlink_to(copy)


# --- audits and runs of the same name -----------------------------------------------------------------------------------

DEMO = ["data=demo", "data.num_users=60", "data.num_items=240"]


def snapshot(folder: Path) -> dict[str, Any]:
    return {
        path.name: os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.iterdir()
        if not path.name.startswith("audit.") and path.is_file()
    }


def test_an_audit_leaves_the_run_of_its_name_alone(tmp_path: Path) -> None:
    where = [f"paths.runs={tmp_path}/runs", "name=shop"]
    run = genrec.run(overrides=[*DEMO, *where, "order.ties=random"], until="prepare", quiet=True)
    before, links = snapshot(run.path), run.links
    audit = genrec.audit(overrides=[*DEMO, *where], quiet=True)  # other settings: another dataset
    assert (snapshot(run.path), run.links) == (before, links)
    assert audit["dataset"]["fingerprint"] != links["dataset"]
    assert (run.path / "audit.html").exists()
    assert main(["gc", "--yes", f"paths.runs={tmp_path}/runs"]) == 0  # what was audited is needed as well
    store = Store(tmp_path / "runs" / ".store")
    assert all(store.find("dataset", fingerprint) for fingerprint in (links["dataset"], audit["dataset"]["fingerprint"]))


@pytest.mark.parametrize(
    "words", [["run"], ["audit"], ["prepare"], ["run", "--plan"], ["train", "generator=sasrec"], ["run", "-m", "seed=0,1"]]
)
def test_without_data_nothing_is_made_of_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith(
        "data: expected data to work on, or an experiment that names some, got nothing; give data=..., such as `"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("place", "code"), [("nowhere", 2), ("/no/where", 2), (".", 0)])
def test_gc_refuses_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["gc", place]) == code
    told = capsys.readouterr()
    assert f"nothing at {place}" in told.err if code else told.out == ". has no .store: nothing was made there\n"
