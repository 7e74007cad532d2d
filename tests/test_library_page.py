"""docs/library.md: its blocks run, in their order, as they are printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import genrec

PAGE = Path(__file__).parents[1] / "docs" / "library.md"


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), scope)
    run, recommender = scope["run"], scope["recommender"]
    assert run.metrics["model"]["test/ndcg@10"] > 0
    assert isinstance(recommender, genrec.Recommender)
    assert recommender.recommend(pl.DataFrame({"user_id": ["ann"], "item_id": ["tea00"]}), k=3).height == 3
    assert "did you mean num_levels?" in capsys.readouterr().out
