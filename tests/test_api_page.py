"""docs/api.md is what the rooms export today, and every name of it can be imported."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("api_page", ROOT / "tools" / "api_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_the_python_api_is_up_to_date(script: ModuleType) -> None:
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == script.page(), "run `make docs`"


def test_every_name_of_it_can_be_imported(script: ModuleType) -> None:
    text, names = (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), 0
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        room = importlib.import_module(part.partition("\n")[0])
        for name in re.findall(r"^- `(\w+)", part, flags=re.MULTILINE):
            assert getattr(room, name, None) is not None, f"{room.__name__}.{name}"
            names += 1
    assert names > 100
    assert {"genrec", "genrec.metrics", "genrec.tokenizers", "genrec.testing"} <= set(script.rooms())
