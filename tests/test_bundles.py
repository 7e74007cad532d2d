"""What opening a bundle never does: run code from its files, read outside it, use the network; and what older ones mean."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_bundle import exported, listed_anew, rewritten

import genrec
from genrec.cli import main
from genrec.engine.artifacts import seal_manifest
from genrec.engine.runs import Run, bundle_path
from genrec.errors import ArtifactError, ConfigError

LATE = [{"item_id": "late", "title": "a late one"}]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bundle, tmp_path / "copy")


def files(bundle: Path) -> list[str]:
    return sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file())


# --- poison -------------------------------------------------------------------------------------------------------------


class Poison:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return open, (str(self.mark), "w")


def as_pickle(poison: Poison) -> bytes:
    return pickle.dumps(poison)


def as_torch(poison: Poison) -> bytes:
    torch.save({"weights": poison}, buffer := io.BytesIO())
    return buffer.getvalue()


def as_numpy(poison: Poison) -> bytes:
    np.save(buffer := io.BytesIO(), np.array([poison], dtype=object))
    return buffer.getvalue()


READERS: dict[Callable[[Poison], bytes], Callable[[bytes], Any]] = {
    as_pickle: pickle.loads,
    as_torch: lambda data: torch.load(io.BytesIO(data), weights_only=False),
    as_numpy: lambda data: np.load(io.BytesIO(data), allow_pickle=True),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", READERS)
def test_a_poisoned_file_is_refused_and_never_run(copy: Path, tmp_path: Path, kind: Callable[[Poison], bytes]) -> None:
    mark = tmp_path / "mark"
    data = kind(Poison(mark))
    READERS[kind](data)
    assert mark.exists(), "the poison works"
    mark.unlink()
    names, manifest = files(copy), (copy / "manifest.json").read_bytes()
    refused = []
    for name in names:
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(data)
        with pytest.raises(ArtifactError) as caught:
            genrec.load(copy)
        assert name in str(caught.value)
        if name != "manifest.json":  # the manifest may be poisoned with it
            listed_anew(copy)
            try:
                genrec.load(copy).add_items(LATE)
            except ArtifactError:
                refused.append(name)
        (copy / name).write_bytes(whole)
        (copy / "manifest.json").write_bytes(manifest)
        assert not mark.exists(), name
    assert {name for name in names if name.endswith((".safetensors", ".parquet"))} - set(refused) == set()
    assert {"bundle.json", "sids/layout.json", "generator/config.json"} <= set(refused)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_poisoned_file_beside_is_refused(copy: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for name in files(copy):
        for suffix, kind in ((".pkl", as_pickle), (".pt", as_torch), (".bin", as_torch), (".npy", as_numpy)):
            beside = (copy / name).with_suffix(suffix)
            if beside.exists():
                continue
            beside.write_bytes(kind(Poison(mark)))
            with pytest.raises(ArtifactError, match=beside.name):
                genrec.load(copy)
            beside.unlink()
    assert not mark.exists()


# --- nothing from elsewhere ---------------------------------------------------------------------------------------------

OPENED_ALONE = """
import socket, sys, time
from pathlib import Path
bundle, item = Path(sys.argv[1]).resolve(), sys.argv[2]
ours = [Path(place).resolve() for place in (sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev", "/etc", *sys.path[1:])]
elsewhere = []

def watch(event, arguments):
    if event.startswith("socket.") or event == "pickle.find_class":
        elsewhere.append((event, arguments))
    if event == "open" and isinstance(arguments[0], str):
        file = Path(arguments[0]).resolve()
        if file.exists() and not any(file.is_relative_to(place) for place in [bundle, *ours]):
            elsewhere.append((event, str(file)))

def refused(*arguments, **more):
    raise OSError("no network here")

start = time.perf_counter(), time.process_time()
import genrec
import torch, polars  # what these do when they are imported is theirs
sys.addaudithook(watch)
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused
recommender = genrec.load(bundle)
print(f"opened in {time.perf_counter() - start[0]:.2f} s, {time.process_time() - start[1]:.2f} s of CPU: {recommender}")
assert recommender.recommend([[], [item]]).height == 20
heavy = {"lightning", "pytorch_lightning", "hydra", "omegaconf", "sklearn", "scipy", "transformers", "sentence_transformers",
         "datasets", "wandb", "rich", "pandas", "fastapi", "genrec.training", "genrec.encoders"} & set(sys.modules)
assert not heavy, heavy
recommender.explain([item], item), recommender.similar(item)
assert not elsewhere, elsewhere
elsewhere.clear()
recommender.add_items([{"item_id": "late", "title": "a late one"}])  # needs sklearn: what that reads of the system is its own
assert not [found for found in elsewhere if found[0].startswith("socket")], elsewhere
assert recommender.recommend(["late"]).height == 10
"""


def test_opening_reads_nothing_from_elsewhere_and_loads_no_training_code(bundle: Path, tmp_path: Path) -> None:
    item = genrec.load(bundle).items["item_id"][0]
    done = subprocess.run(
        [sys.executable, "-c", OPENED_ALONE, str(bundle), item], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    print(done.stdout)


def test_files_and_links_that_lead_outside(copy: Path, tmp_path: Path) -> None:
    shutil.move(copy / "items.parquet", tmp_path / "items.parquet")
    (copy / "items.parquet").symlink_to(tmp_path / "items.parquet")
    with pytest.raises(ArtifactError, match=r"items\.parquet: expected a file inside the bundle, got a way to"):
        genrec.load(copy)
    (copy / "items.parquet").unlink()
    shutil.move(tmp_path / "items.parquet", copy / "items.parquet")
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    for name in ("../runs.json", str(tmp_path / "runs.json")):
        changed = manifest | {"files": manifest["files"] | {name: {"bytes": 0, "sha256": ""}}}
        (copy / "manifest.json").write_text(json.dumps(seal_manifest(changed)), encoding="utf-8")
        with pytest.raises(ArtifactError, match="inside the bundle"):
            genrec.load(copy)


def test_a_configuration_that_names_a_file_elsewhere(bundle: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["config"]["decoding"] = {"_target_": "genrec.encoders.precomputed.Precomputed", "path": "/etc/vectors.parquet"}

    with pytest.raises(
        ConfigError, match=r"decoding\._target_: expected a class for decoding, got genrec\.encoders\.precomputed"
    ):
        genrec.load(rewritten(bundle, tmp_path / "copy", change))


def test_another_artifact_is_no_bundle(bundle: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    (copy / "manifest.json").write_text(json.dumps(seal_manifest(manifest | {"kind": "generator"})), encoding="utf-8")
    assert main(["recommend", str(copy), "h.parquet", "out"]) == 2
    assert "expected a bundle, got generator" in capsys.readouterr().err


# --- older bundles ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["serve"], ["recommend"], ["feed"]])
@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["data=demo", "name=shop"], "make it: genrec export data=demo name=shop"),
        (["data=./my shop.yaml"], "make it: genrec export 'data=./my shop.yaml'"),
        ([], "make it: genrec export"),
    ],
)
def test_a_run_that_was_not_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], overrides: list[str], told: str
) -> None:
    run = Run(tmp_path / "shop")
    run.start({}, overrides, {})
    (tmp_path / "a.csv").write_text("item_id\na\n", encoding="utf-8")
    more = {"serve": [], "recommend": ["a.csv", "out"], "feed": [str(tmp_path / "a.csv"), "--state-dir", str(tmp_path / "s")]}
    assert main([*command, str(run.path), *more[command[0]]]) == 2
    expected = "expected a bundle, or a run that has one, got a run without a bundle"
    assert capsys.readouterr().err.strip() == f"{run.path}: {expected}; {told}"


def test_what_a_bundles_path_means(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(tmp_path / "shop")
    run.start({}, [], {})
    (run.path / "bundle").symlink_to(bundle)
    assert [bundle_path(path) for path in (run.path, run.path / "bundle", bundle)] == [run.path / "bundle"] * 2 + [bundle]
    for command in (["serve"], ["recommend", "a", "b"], ["feed", "a", "--state-dir", "b"]):
        assert main([command[0], str(tmp_path / "nowhere"), *command[1:]]) == 2
        assert "expected a bundle, or a run that has one, got nothing there" in capsys.readouterr().err


def test_an_older_bundle_means_what_it_meant(bundle: Path, tmp_path: Path) -> None:
    def aged(content: dict[str, Any]) -> None:
        del content["revision"], content["new_share"]

    old = rewritten(bundle, tmp_path / "old", aged)
    codebooks = old / "tokenizer" / "fitted" / "codebooks.safetensors"
    save_file({name: table for name, table in load_file(codebooks).items() if name != "center"}, codebooks)
    listed_anew(old)
    recommender, today = genrec.load(old), genrec.load(bundle)
    histories = [[], today.items["item_id"][:3].to_list()]
    assert recommender.recommend(histories).equals(today.recommend(histories))
    recommender.add_items(LATE)
    assert recommender.items["item_id"][-1] == "late"
    assert recommender.recommend(["late"]).height == 10
    assert type(recommender.catalogue.strategy) is type(today.catalogue.strategy), "no places are kept for late items"
    today.add_items(LATE)
    assert type(recommender.catalogue.strategy) is not type(today.catalogue.strategy)


@pytest.mark.parametrize("change", [{"schema": 2}, {"revision": 99}, {"schema": 0}])
def test_a_newer_bundle_is_refused(bundle: Path, tmp_path: Path, change: dict[str, int]) -> None:
    path = rewritten(bundle, tmp_path / "other", lambda content: content.update(change))
    (key, value), *_ = change.items()
    with pytest.raises(ArtifactError, match=f"expected a bundle of schema 1, at most revision 2, got .*{key} {value}"):
        genrec.load(path)


# --- lists of all users -------------------------------------------------------------------------------------------------


def test_recommend_from_the_command_line(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, item = genrec.load(bundle).items["item_id"][:2]
    table = pl.DataFrame({"user_id": ["u", "v", "u"], "item_id": [item, item, first]})
    table.write_parquet(tmp_path / "h.parquet")
    words = ["recommend", str(bundle), str(tmp_path / "h.parquet"), str(tmp_path / "out"), "k=4", 'quota={"brand": 1}']
    assert main(words) == 0
    assert capsys.readouterr().out.endswith(f"2 users in 1 files of {tmp_path / 'out'}\n")
    expected = genrec.load(bundle).recommend(table, 4, quota={"brand": 1})
    found = pl.read_parquet(tmp_path / "out" / "part-00000.parquet")
    assert found.equals(expected)
    assert main([*words[:4], "k=5"]) == 2
    assert "expected lists by k 4, as begun there, got 5" in capsys.readouterr().err
    for word in ("kk=3", "k=many", "steer=3", "exclude_seen=1", "k=0"):
        assert main([*words[:4], word]) == 2
        assert word.partition("=")[2] in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["recommend", "--help"])
    assert "genrec recommend BUNDLE --help" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["recommend", "BUNDLE", "--help"])
    assert "shard_rows: rows of the input" in capsys.readouterr().out
