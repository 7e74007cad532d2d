"""Every message a user can get: one line that holds the offending value; and every place of genrec that makes one has a row.

The rows are the ``CASES`` of tests/error_cases/. A row that triggers an error marks the line of source that made it; places
that no row reaches fail the guard below, except for those that ``error_exemptions.json`` counts, file by file. The counts may
only shrink; ``python tests/test_errors.py`` writes the smaller ones.
"""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import error_cases
import pytest
from error_cases import Case, Scene
from hypothesis import given
from hypothesis import strategies as st

import genrec
from genrec import errors
from genrec.engine import components
from genrec.errors import ConfigError, DataError, GenRecError, did_you_mean

ROOT = Path(genrec.__file__).parent
MODULES = [importlib.import_module(f"error_cases.{module.name}") for module in pkgutil.iter_modules(error_cases.__path__)]
CASES = [
    pytest.param(case, id=f"{module.__name__.rpartition('.')[2]}-{case.name}") for module in MODULES for case in module.CASES
]
EXEMPTIONS = Path(__file__).with_name("error_exemptions.json")  # file -> how many places have no row

made_at: set[tuple[str, int]] = set()  # (file, line) of every error made by a case
ran: set[int] = set()  # cases that this process has run: of several processes, none runs all rows by itself


def record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every error note where it is made; packages that a row or another test allows are allowed to no other row."""
    monkeypatch.setattr(components, "_allowed", {"genrec"})
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


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    record(monkeypatch)


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


def kinds_of_errors(trees: list[ast.Module]) -> set[str]:
    """``GenRecError`` and the names of all classes that derive from it."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    kinds, size = {"GenRecError"}, 0
    while size < len(kinds):
        size = len(kinds)
        kinds |= {node.name for node in classes if any(ast.unparse(base).rpartition(".")[2] in kinds for base in node.bases)}
    return kinds


def places(tree: ast.Module, kinds: set[str]) -> Iterator[range]:
    """The lines of each call that makes an error."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in kinds:
                yield range(node.lineno, (node.end_lineno or node.lineno) + 1)


def places_without_a_row(folder: Path) -> dict[str, list[int]]:
    """File -> the lines where it makes an error that no row triggers. Runs the rows that this process has not run."""
    for number, case in enumerate(row.values[0] for row in CASES):
        if id(case) not in ran:
            (scene := folder / str(number)).mkdir()
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(scene)
                record(patch)
                with pytest.raises(GenRecError):
                    case.trigger(Scene(scene, patch))
            ran.add(id(case))
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(ROOT.rglob("*.py"))}
    kinds = kinds_of_errors(list(trees.values()))
    lines = {
        file.relative_to(ROOT).as_posix(): [
            place[0] for place in places(tree, kinds) if not any((str(file), line) in made_at for line in place)
        ]
        for file, tree in trees.items()
    }
    return {file: sorted(numbers) for file, numbers in lines.items() if numbers}


def test_every_message_has_a_row(tmp_path: Path) -> None:
    lines, exempt = places_without_a_row(tmp_path), json.loads(EXEMPTIONS.read_text(encoding="utf-8"))
    more = {file: numbers for file, numbers in lines.items() if len(numbers) > exempt.get(file, 0)}
    assert more == {}, "these lines make errors: give each a row in tests/error_cases/"
    fewer = {file: count for file, count in exempt.items() if len(lines.get(file, ())) < count}
    assert fewer == {}, "the exemptions may only shrink: run `python tests/test_errors.py`, which writes the smaller counts"


def test_the_guard_sees_every_way_to_make_an_error() -> None:
    source = """
class OddError(errors.DataError): pass
class DataError(GenRecError): pass
raise OddError(
    "a")
errors.DataError("b")
ValueError(GenRecError)
"""
    tree = ast.parse(source)
    assert kinds_of_errors([tree]) == {"GenRecError", "DataError", "OddError"}
    assert [[*place] for place in places(tree, kinds_of_errors([tree]))] == [[4, 5], [6]]


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


if __name__ == "__main__":
    exempt = json.loads(EXEMPTIONS.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        lines = places_without_a_row(Path(scratch))
    counts = {file: min(count, len(lines.get(file, ()))) for file, count in exempt.items()}
    counts = {file: count for file, count in counts.items() if count}
    EXEMPTIONS.write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
