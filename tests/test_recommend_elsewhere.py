"""Lists in another catalogue than the one that a bundle was trained on."""

from __future__ import annotations

import runpy
from pathlib import Path

import polars as pl
import pytest
from small_bundle import exported

import genrec

TOOL = Path(__file__).resolve().parents[1] / "tools" / "recommend_elsewhere.py"


@pytest.mark.slow
def test_lists_hold_items_of_the_other_catalogue_alone(tmp_path: Path) -> None:
    bundle = exported(tmp_path)
    lists_elsewhere = runpy.run_path(str(TOOL))["lists_elsewhere"]
    titles = genrec.load(bundle).items["title"]
    items = pl.DataFrame({"item_id": [f"other{row}" for row in range(30)], "title": titles[:30], "unknown": range(30)})
    rows = [(f"u{user}", f"other{(user + step) % 30}") for user in range(4) for step in range(5)] + [("short", "other1")] * 2
    events = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    lists = lists_elsewhere(bundle, items, events, k=7)
    assert lists.columns == ["user_id", "item_id", "rank", "score", "split"]
    assert set(lists["item_id"]) <= set(items["item_id"])
    assert lists.group_by("split", "user_id").len()["len"].to_list() == [7] * 8
    seen = {split: {f"other{item}" for item in range(seen)} for split, seen in (("validation", 3), ("test", 4))}
    for split, history in seen.items():
        assert not history & set(lists.filter(user_id="u0", split=split)["item_id"])
