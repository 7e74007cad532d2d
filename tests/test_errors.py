"""Every message a user can get: one line that holds the offending value; and every ``raise`` of a covered room has a row.

A room is covered once tests/error_cases/<room>.py exists: ``ROOMS`` (files and folders of genrec) and ``CASES``. A row that
triggers an error marks the line of source that made it; lines that no row reaches fail the guard below.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

import error_cases
import pytest
from error_cases import Case, Scene
from hypothesis import given
from hypothesis import strategies as st

import genrec
from genrec import errors
from genrec.errors import ConfigError, DataError, GenRecError, did_you_mean

ROOT = Path(genrec.__file__).parent
MODULES = [importlib.import_module(f"error_cases.{module.name}") for module in pkgutil.iter_modules(error_cases.__path__)]
CASES = [
    pytest.param(case, id=f"{module.__name__.rpartition('.')[2]}-{case.name}") for module in MODULES for case in module.CASES
]
KINDS = {"ConfigError", "DataError", "ArtifactError", "MachineError", "UnknownKeyError"}

made_at: set[tuple[str, int]] = set()  # (file, line) of every error made by a case
ran: set[int] = set()  # cases that this process has run: of several processes, none runs all rows by itself


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    original = GenRecError.__init__

    def recording(self: GenRecError, *args: object, **more: object) -> None:
        frame = sys._getframe(1)
        while frame is not None and str(ROOT) in frame.f_code.co_filename:
            made_at.add((frame.f_code.co_filename, frame.f_lineno))
            if frame.f_code.co_name != "__init__":
                break
            frame = frame.f_back  # type: ignore[assignment]
        original(self, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(GenRecError, "__init__", recording)


@pytest.mark.parametrize("case", CASES)
def test_the_message(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: None) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GenRecError) as caught:
        case.trigger(Scene(tmp_path, monkeypatch))
    line = str(caught.value)
    ran.add(id(case))
    assert type(caught.value) is case.error
    assert case.value in line
    assert "\n" not in line
    assert "; " in line


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_every_message_has_a_row(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: None) -> None:
    for place, case in enumerate(row.values[0] for row in CASES):
        if id(case) not in ran:
            (folder := tmp_path / str(place)).mkdir()
            with monkeypatch.context() as patch:
                patch.chdir(folder)
                with pytest.raises(GenRecError):
                    case.trigger(Scene(folder, patch))
            ran.add(id(case))
    missing = []
    for room in module.ROOMS:
        for file in [ROOT / room] if room.endswith(".py") else sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                    lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
                    if not any((str(file), line) in made_at for line in lines):
                        missing.append(f"{file.relative_to(ROOT.parent)}:{node.lineno}")
    assert missing == []


@given(st.text(), st.text(), st.one_of(st.text(), st.integers(), st.floats(), st.lists(st.text())), st.text())
def test_always_one_line_with_the_value(where: str, expected: str, got: object, fix: str) -> None:
    line = str(GenRecError(where, expected=expected, got=got, fix=fix))
    assert len(line.splitlines()) <= 1
    shown = got if isinstance(got, str) else repr(got)
    assert errors.escape_control_characters(" ".join(shown.split())) in line


def test_what_a_terminal_would_obey_or_hide_is_shown() -> None:
    """Names come from strangers: no colours, no moved cursor, no reversed text, no mark that nobody sees."""
    for sign, shown in (
        ("\x1b[2J", "\\x1b[2J"),
        ("\x07", "\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202e", "\\u202e"),
        ("\ufeff", "\\ufeff"),
        ("\udcff", "\\udcff"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🔬 ü 数", "👩\u200d🔬 ü 数"),
    ):
        line = str(DataError(f"a{sign}.csv", expected="x", got=f"b{sign}", fix="y"))
        assert line == f"a{shown}.csv: expected x, got b{shown}; y"


def test_kinds_of_errors() -> None:
    for kind in (errors.ConfigError, errors.DataError, errors.ArtifactError):
        assert issubclass(kind, GenRecError)
    assert str(ConfigError("a.b", expected="x", got=[1], fix="do y")) == "a.b: expected x, got [1]; do y"


def test_did_you_mean() -> None:
    assert did_you_mean("num_level", ["num_levels", "dim"]) == "did you mean num_levels?"
    assert did_you_mean("zzz", ["b", "a"]) == "known: a, b"
    assert did_you_mean("zzz", []) == "nothing is known here"
