"""What another system would trip over: text in the system's own encoding, modules that only Unix has."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import genrec

ROOT = Path(genrec.__file__).parents[1]
FILES = sorted(file for room in ("genrec", "tools", "tests", "examples") for file in (ROOT / room).rglob("*.py"))
UNIX_ONLY = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"}


def without_encoding(tree: ast.AST) -> Iterator[int]:
    """Lines that read or write text in whatever encoding the system has."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or {keyword.arg for keyword in node.keywords} & {"encoding", None}:
            continue
        function, words = node.func, {keyword.arg: keyword.value for keyword in node.keywords}
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if (name == "read_text" and not node.args) or (name == "write_text" and len(node.args) < 2):
            yield node.lineno
        elif name == "open" and not of_a_module(function):
            place = 1 if isinstance(function, ast.Name) else 0
            mode = node.args[place] if len(node.args) > place else words.get("mode", ast.Constant("r"))
            if isinstance(mode, ast.Constant) and isinstance(mode.value, str) and is_text(mode.value):
                yield node.lineno


def of_a_module(function: ast.expr) -> bool:
    """``os.open``, ``Image.open``, ``Store(...).open``: no files of text."""
    return isinstance(function, ast.Attribute) and not (
        isinstance(function.value, ast.Name | ast.Attribute | ast.BinOp) and getattr(function.value, "id", "") not in OTHERS
    )


OTHERS = {"os", "gzip", "Image", "webbrowser", "zipfile", "tarfile", "store"}


def is_text(mode: str) -> bool:
    return set(mode) <= set("rwxat+")


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("p.read_text()", [1]),
        ("p.write_text('x')", [1]),
        ("open('x')", [1]),
        ("open('x', 'w')", [1]),
        ("(a / 'x').open('a')", [1]),
        ("open('x', mode='r+')", [1]),
        ("open('x', 'rb')", []),
        ("os.open('x', os.O_RDWR)", []),
        ("p.read_text(encoding='ascii')", []),
        ("p.write_text('x', 'utf-8')", []),
    ],
)
def test_the_rule_bites(source: str, lines: list[int]) -> None:
    assert list(without_encoding(ast.parse(source))) == lines


def test_text_has_an_encoding_everywhere() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}"
        for file in FILES
        for line in without_encoding(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert found == []


def test_nothing_that_only_unix_has_is_imported_with_genrec() -> None:
    """Inside a function it may be, where there is another way."""
    found = []
    for file in sorted((ROOT / "genrec").rglob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None)]
            found += [f"{file.relative_to(ROOT)}: {name}" for name in names if name in UNIX_ONLY]
    assert found == []


WITHOUT = f"""
import sys, warnings
warnings.simplefilter("ignore")  # filelock's, that its locks are soft ones here
sys.modules.update(dict.fromkeys({sorted(UNIX_ONLY)}))
import os
os.symlink = None
from genrec.cli import main
"""


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["prepare", "--help"], ["ls"], ["gc", "."]])
def test_commands_where_they_are_missing(tmp_path: Path, words: list[str]) -> None:
    script = f"{WITHOUT}sys.exit(main({words}))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, encoding="utf-8", env=surroundings()
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_prepare_where_they_are_missing(tmp_path: Path) -> None:
    words = ["prepare", "data=demo", "data.num_users=60", "data.num_items=240", "paths.runs=runs", "name=x"]
    script = f"{WITHOUT}os.symlink = lambda *a, **b: (_ for _ in ()).throw(OSError('no right'))\nsys.exit(main({words}))"
    for expected in ("never run", "up to date"):
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, encoding="utf-8", env=surroundings()
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    assert not (tmp_path / "runs" / "x" / "dataset").is_symlink()
    assert (tmp_path / "runs" / "x" / "dataset" / "manifest.json").exists()


def surroundings() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(ROOT)}
