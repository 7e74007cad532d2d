"""``genrec new``: what it writes passes its contract, is planned by the command that it prints, and runs."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from genrec.cli import main
from genrec.commands.new import KINDS, command_line
from genrec.engine import components
from genrec.engine.overrides import shell_line

QUICK = ("tokenizer", "metric")  # the others' suites take longer
SMALL = ("data.num_users=150", "data.num_items=80", "data.events_per_user=6.0", "train.epochs=1", "tokenizer.codebook_size=8")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(components, "_allowed", {"genrec"})
    monkeypatch.setattr(sys, "path", [*sys.path])
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("new_pkg")]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", [kind if kind in QUICK else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS])
def test_what_it_writes_passes_its_contract(here: Path, kind: str) -> None:
    assert main(["new", kind, "new_pkg.parts.first_try"]) == 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "--doctest-modules", "new_pkg"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_printed_command_is_planned(here: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", kind, "new_pkg.first_try"]) == 0
    printed = capsys.readouterr().out
    assert command_line(kind, "new_pkg", "first_try") in printed
    assert printed.splitlines()[:3] == sorted(
        (str(path.relative_to(here)) for path in here.rglob("*first_try*")), key=lambda path: ("test_" in path, "conf" in path)
    )
    overrides = [KINDS[kind].run, "plugins=[new_pkg]", KINDS[kind].use.format(name="first_try")]
    assert shell_line(["genrec", "run", *overrides]) in printed
    assert main(["run", "--plan", *overrides]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_printed_command_runs(here: Path, kind: str) -> None:
    assert main(["new", kind, "new_pkg.first_try"]) == 0
    assert main(["run", KINDS[kind].run, "plugins=[new_pkg]", KINDS[kind].use.format(name="first_try"), *SMALL]) == 0


def test_a_metric_is_called_by_words(here: Path) -> None:
    assert main(["new", "metric", "new_pkg.first_try"]) == 0
    assert 'label: ClassVar[str] = "First try"' in (here / "new_pkg" / "first_try.py").read_text(encoding="utf-8")


def test_nothing_is_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "metric", "new_pkg.mine"]) == 0
    written = {path: path.read_text(encoding="utf-8") for path in here.rglob("*") if path.is_file()}
    assert main(["new", "metric", "new_pkg.mine"]) == 2
    assert "got an existing one" in capsys.readouterr().err
    assert {path: path.read_text(encoding="utf-8") for path in here.rglob("*") if path.is_file()} == written
