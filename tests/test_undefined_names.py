"""Every name is defined: ruff's F821, which is off for the project because the shapes of jaxtyping look like names to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RUFF = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")


def undefined_names(paths: Sequence[Path]) -> list[str]:
    """``file:line: message`` of each name that is used and nowhere defined, shapes in strings aside."""
    assert RUFF is not None
    rules = ["--isolated", "--no-cache", "--select", "F821,F822,F823", "--output-format", "json"]
    run = subprocess.run([RUFF, "check", *rules, *map(str, paths)], capture_output=True, text=True, check=False)
    lines = []
    for finding in json.loads(run.stdout):
        row, column = finding["location"]["row"], finding["location"]["column"] - 1
        before = Path(finding["filename"]).read_text(encoding="utf-8").splitlines()[row - 1][:column]
        if before.count('"') % 2 == 0:
            lines.append(f"{finding['filename']}:{row}: {finding['message']}")
    return lines


@pytest.mark.skipif(RUFF is None, reason="ruff is not installed")
def test_every_name_is_defined() -> None:
    assert undefined_names([ROOT / name for name in ("genrec", "tests", "tools", "examples", "docs")]) == []


@pytest.mark.skipif(RUFF is None, reason="ruff is not installed")
def test_an_undefined_name_is_found(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text('def f(x: Float[Tensor, "rows dim"]) -> None:\n    return nowhere\n', encoding="utf-8")
    assert [line.rpartition(": ")[2] for line in undefined_names([file])] == [
        "Undefined name `Float`",
        "Undefined name `Tensor`",
        "Undefined name `nowhere`",
    ]
