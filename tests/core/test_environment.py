"""What a manifest says about the code that made an artifact."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from genrec.engine.artifacts import Store
from genrec.engine.machine import source_state


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """A repository with a package and its conf/, committed."""
    folder = tmp_path / "checkout" / "genrec"
    (folder.parent / "conf").mkdir(parents=True)
    folder.mkdir()
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder.parent / "conf" / "config.yaml").write_text("a: 1\n", encoding="utf-8")
    git(folder.parent, "init", "-q")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-q", "-m", "first")
    source_state.cache_clear()
    yield folder
    source_state.cache_clear()


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    surroundings = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True, env=surroundings).stdout.strip()


def test_the_commit_of_a_clean_checkout(package: Path) -> None:
    assert source_state(package) == {"commit": git(package, "rev-parse", "HEAD"), "dirty": False}


@pytest.mark.parametrize(
    ("file", "dirty"),
    [
        ("genrec/__init__.py", True),
        ("genrec/new.py", True),
        ("conf/config.yaml", True),
        ("conf/data/mine.yaml", True),
        ("README.md", False),
        ("runs/run.json", False),
    ],
)
def test_what_makes_it_dirty(package: Path, file: str, dirty: bool) -> None:
    path = package.parent / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x = 1\n", encoding="utf-8")
    assert source_state(package)["dirty"] is dirty


def test_a_package_installed_within_another_repository_has_no_commit(package: Path) -> None:
    installed = package.parent / ".venv" / "genrec"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("", encoding="utf-8")
    assert source_state(installed) == {"commit": None, "dirty": None}


def test_without_git(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert source_state(package) == {"commit": None, "dirty": None}


def test_every_manifest_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"commit": "c" * 40, "dirty": True}
    monkeypatch.setattr("genrec.engine.machine.source_state", lambda: state)
    made = Store(tmp_path).make("sids", "f1", lambda folder, work: {}, stage="assign", config={}, inputs={})
    assert {key: made.manifest["environment"][key] for key in state} == state
