"""The store: whole or absent, made once, never trusted when damaged."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from genrec.engine.artifacts import MANIFEST, SCHEMA, Artifact, Store
from genrec.engine.fingerprints import ContentHashes, digest
from genrec.errors import ArtifactError


def make(store: Store, fingerprint: str = "f1", kind: str = "thing", content: str = "hello", **more: Any) -> Artifact:
    def build(folder: Path, work: Path) -> dict[str, Any]:
        (folder / "deep").mkdir()
        (folder / "a.txt").write_text(content, encoding="utf-8")
        (folder / "deep" / "b.txt").write_text(content * 2, encoding="utf-8")
        return {"letters": len(content)}

    told: dict[str, Any] = {"stage": "verb", "config": {"x": 1}, "inputs": {}} | more
    return store.make(kind, fingerprint, build, **told)


def test_manifest_tells_what_it_was_made_from(tmp_path: Path) -> None:
    made = make(Store(tmp_path), inputs={"other": "f0"}, external={"data.file": "abc"})
    opened = Artifact(made.path)
    assert (opened.kind, opened.fingerprint, opened.stage) == ("thing", "f1", "verb")
    assert opened.config == {"x": 1}
    assert opened.inputs == {"other": "f0"}
    assert opened.facts == {"letters": 5}
    assert sorted(opened.manifest["files"]) == ["a.txt", "deep/b.txt"]
    assert opened.manifest["schema"] == SCHEMA
    assert opened.manifest["external"] == {"data.file": "abc"}
    opened.check(hashes=True)


def test_who_may_read_one_file_may_read_all(tmp_path: Path) -> None:
    """A bundle is served by another user than the one who made it."""

    def build(folder: Path, work: Path) -> dict[str, Any]:
        save_file({"x": np.zeros(2)}, folder / "x.safetensors")
        return {}

    mask = os.umask(0o027)
    try:
        made = Store(tmp_path).make("thing", "f1", build, stage="verb", config={}, inputs={})
    finally:
        os.umask(mask)
    assert {file.stat().st_mode & 0o777 for file in made.path.iterdir()} == {0o640}


def test_made_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make(store, content="first")
    assert (make(store, content="second").path / "a.txt").read_text(encoding="utf-8") == "first"


@pytest.mark.parametrize("damage", ["removed", "longer", "flipped"])
def test_damage_is_told_with_both_values_and_the_command(tmp_path: Path, damage: str) -> None:
    file = make(Store(tmp_path)).path / "a.txt"
    if damage == "removed":
        file.unlink()
    else:
        file.write_text("hello!" if damage == "longer" else "jello", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"genrec verb") as caught:
        Store(tmp_path).open("thing", "f1", wanted_by="run")
    assert str(file) in str(caught.value)
    for value in {"removed": ["5 bytes", "no file"], "longer": ["5 bytes", "6 bytes"], "flipped": ["sha256"]}[damage]:
        assert value in str(caught.value)


def test_a_flipped_byte_needs_the_full_check(tmp_path: Path) -> None:
    made = make(Store(tmp_path))
    (made.path / "a.txt").write_text("jello", encoding="utf-8")
    made.check()
    with pytest.raises(ArtifactError, match="sha256"):
        made.check(hashes=True)


def test_another_schema_is_told(tmp_path: Path) -> None:
    made = make(Store(tmp_path))
    manifest = json.loads((made.path / MANIFEST).read_text(encoding="utf-8"))
    (made.path / MANIFEST).write_text(json.dumps(manifest | {"schema": SCHEMA + 7, "genrec": "9.9"}), encoding="utf-8")
    with pytest.raises(ArtifactError, match=rf"schema {SCHEMA + 7} by genrec 9\.9"):
        Artifact(made.path).check()


def test_a_mismatched_input_is_told_with_both_fingerprints(tmp_path: Path) -> None:
    made = make(Store(tmp_path), inputs={"sids": "aaaa"})
    made.expect_inputs({"sids": "aaaa", "unrelated": "cccc"})
    with pytest.raises(ArtifactError, match=r"aaaa.*bbbb.*genrec verb"):
        made.expect_inputs({"sids": "bbbb"})


def test_a_failed_build_leaves_nothing_that_looks_whole_and_keeps_its_checkpoints(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def build(folder: Path, work: Path) -> dict[str, Any]:
        (folder / "half.txt").write_text("half", encoding="utf-8")
        (work / "checkpoint").write_text("7", encoding="utf-8")
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError):
        store.make("thing", "f1", build, stage="verb", config={}, inputs={})
    assert store.find("thing", "f1") is None
    assert (store.work("thing", "f1") / "checkpoint").read_text(encoding="utf-8") == "7"

    made = make(store)
    assert not (made.path / "half.txt").exists()
    assert not store.work("thing", "f1").exists()


def _make_slowly(root: Path, started: Any) -> None:
    def build(folder: Path, work: Path) -> dict[str, Any]:
        (folder / "by.txt").write_text(str(os.getpid()), encoding="utf-8")
        started.set()
        time.sleep(0.5)
        return {}

    Store(root).make("thing", "f1", build, stage="verb", config={}, inputs={})


def test_a_second_process_waits_says_so_and_finds_it_made(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_make_slowly, args=(tmp_path, started))
    process.start()
    assert started.wait(20)
    said: list[str] = []
    made = make(Store(tmp_path), log=said.append)
    process.join()
    assert (made.path / "by.txt").read_text(encoding="utf-8") == str(process.pid)
    assert any(str(process.pid) in line for line in said)


def test_a_killed_holder_does_not_block(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_make_slowly, args=(tmp_path, started))
    process.start()
    assert started.wait(20)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    made = make(Store(tmp_path))
    assert (made.path / "a.txt").read_text(encoding="utf-8") == "hello"
    assert not (made.path / "by.txt").exists()


def test_remove_respects_locks(tmp_path: Path) -> None:
    store = Store(tmp_path)
    make(store)
    with store.lock("thing", "f1"):
        assert not store.remove("thing", "f1")
        assert store.find("thing", "f1")
    assert store.remove("thing", "f1")
    assert store.entries() == []
    make(store)


def test_content_hash_ignores_names_and_notices_content(tmp_path: Path) -> None:
    hashes = ContentHashes(tmp_path / "cache" / "hashes.json")
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("1,2\n", encoding="utf-8")
    second.write_text("1,2\n", encoding="utf-8")
    assert hashes.of(first) == hashes.of(second)
    second.write_text("1,3\n", encoding="utf-8")
    assert hashes.of(first) != hashes.of(second)

    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "c").write_text("c", encoding="utf-8")
    before = hashes.of(folder)
    (folder / "deep" / "c").write_text("C!", encoding="utf-8")
    changed = hashes.of(folder)
    assert before != changed
    folder.rename(tmp_path / "moved")
    assert hashes.of(tmp_path / "moved") == changed


def test_content_hashes_are_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, cache = tmp_path / "a.csv", tmp_path / "hashes.json"
    file.write_text("1", encoding="utf-8")
    sha = ContentHashes(cache).of(file)
    monkeypatch.setattr("genrec.engine.fingerprints.sha256_file", lambda path: "read again")
    assert ContentHashes(cache).of(file) == sha
    os.utime(file, ns=(1, 1))
    assert ContentHashes(cache).of(file) == "read again"
    cache.write_text("{not json", encoding="utf-8")
    assert ContentHashes(cache).of(file) == "read again"


def test_an_artifacts_folder_counts_as_its_fingerprint(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.hashes.of(make(store).path) == "f1"


scalars = st.none() | st.booleans() | st.integers() | st.text()
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), json_values))
def test_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


@settings(max_examples=40)
@given(json_values, json_values)
def test_digests_agree_only_for_equal_values(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))
