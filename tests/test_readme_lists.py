"""README lists what can be chosen: every option of every group, and none that is not there."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLE = (
    (ROOT / "README.md").read_text(encoding="utf-8").partition("## What can be chosen")[2].partition("Missing something?")[0]
)
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", TABLE, re.MULTILINE))


def test_the_table_is_read() -> None:
    assert {"data", "split", "encoder", "tokenizer", "collision", "generator", "objective", "decoding", "metric"} <= set(ROWS)


@pytest.mark.parametrize("group", ROWS)
def test_a_row_names_the_options_of_its_group(group: str) -> None:
    options = {file.stem for file in (ROOT / "conf" / group).glob("*.yaml")}
    named = set(re.findall(r"`([\w*]+)`", ROWS[group]))
    assert {option for option in options if not any(fnmatch(option, name) for name in named)} == set(), "in no row"
    assert {name for name in named if not any(fnmatch(option, name) for option in options)} == set(), "no such option"
