"""The rooms of docs/architecture.md: import-linter's contracts hold, and bite; every room says what lives in it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import genrec

ROOT = Path(genrec.__file__).parent
PROJECT = ROOT.parent / "pyproject.toml"
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}
FILES = sorted(ROOT.rglob("*.py"))
ROOMS = sorted(path.parent for path in ROOT.rglob("__init__.py") if path.parent != ROOT)

pytestmark = pytest.mark.skipif(not PROJECT.is_file(), reason="the contracts stand in the checkout's pyproject.toml")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def kept(folder: Path) -> tuple[bool, str]:
    """Whether the contracts hold for the package in a folder, and what import-linter says."""
    code = "from importlinter.cli import lint_imports_command as run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--config", "pyproject.toml", "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout


def test_the_contracts_hold() -> None:
    holds, output = kept(PROJECT.parent)
    assert holds, output[-3000:]


BREACHES = {
    "Eight layers": ("core/x.py", "import genrec.engine.runs"),
    "No circle of rooms": ("engine/x.py", "import genrec.nn.x"),
    "A plug-in never imports another": ("tokenizers/x.py", "import genrec.tokenizers.rq_kmeans"),
    "A collision policy never imports another": ("tokenizers/collision/x.py", "import genrec.tokenizers.collision.keep"),
    "No stage and no command imports another": ("stages/x.py", "import genrec.stages.train"),
    "Lightning is for training alone": ("evaluation/x.py", "import lightning"),
    "The recommender and its service know no stage and no training": ("serving/x.py", "import genrec.training.fit"),
}


def test_the_contracts_bite(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "genrec", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT, tmp_path)
    for file, line in BREACHES.values():
        with (tmp_path / "genrec" / file).open("a", encoding="utf-8") as source:
            source.write(f"{line}\n")
    (tmp_path / "genrec" / "nn" / "x.py").write_text("import genrec.engine.x\n", encoding="utf-8")
    _, output = kept(tmp_path)
    assert [name for name in BREACHES if f"{name} BROKEN" not in output] == []


def test_there_are_at_most_eight_layers_and_every_room_is_in_one() -> None:
    contracts = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")
    assert len(layers["layers"]) <= 8
    listed = {room.strip(" ()") for layer in layers["layers"] for room in layer.replace(":", "|").split("|")}
    there = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    there |= {path.stem for path in ROOT.glob("*.py")} - {"__init__"}
    assert there == listed


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(ROOT)))
def test_every_room_says_what_lives_in_it_and_what_may_be_changed(room: Path) -> None:
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert len([line for line in text.splitlines() if line.strip()]) >= 3


def test_file_names_say_something() -> None:
    for path in FILES:
        assert not BANNED & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}, path


def test_nobody_pickles() -> None:
    for path in FILES:
        names = {name.split(".")[0] for name in imports(path)} & {"pickle", "cloudpickle", "dill", "joblib", "shelve"}
        assert not names, f"{path} imports {names}"
