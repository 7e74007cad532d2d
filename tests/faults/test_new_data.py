"""New data that lacks a column: told with its name, at the command line and over HTTP, before anything is made of it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from ledger import Ledger
from small_shop import shop

from genrec.cli import main
from genrec.recommender.recommender import Recommender

EVENTS = pl.DataFrame({"user_id": list("aaabbb"), "item_id": list("xyzxyz"), "position": [0, 1, 2] * 2})
ITEMS = pl.DataFrame({"item_id": list("xyz"), "title": ["A", "B", "C"], "price": [1.0, 2.0, 3.0]})
LATER = pl.DataFrame({"item_id": list("xyzw"), "title": ["A", "B", "C", "D"], "price": [1.0, 2.0, 3.0, 4.0]})


def given(folder: Path, events: pl.DataFrame, items: pl.DataFrame) -> list[str]:
    folder.mkdir(exist_ok=True)
    events.write_parquet(folder / "events.parquet")
    items.write_parquet(folder / "items.parquet")
    return [f"data.interactions={folder}/events.parquet", f"data.items={folder}/items.parquet"]


def test_a_column_that_is_missing(tmp_path: Path, ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    where = [f"paths.runs={tmp_path}/runs", "split.short_users=train"]
    assert main(["prepare", "data=tables", *given(tmp_path / "old", EVENTS, ITEMS), *where, "name=old"]) == 0
    for column, events, items in (
        ("user_id", EVENTS.drop("user_id"), ITEMS),
        ("item_id", EVENTS.drop("item_id"), ITEMS),
        ("item_id", EVENTS, ITEMS.drop("item_id")),
    ):
        capsys.readouterr()
        code = main(["prepare", "data=tables", *given(tmp_path / "new", events, items), *where, "name=new"])
        ledger.inject("missing column: data")
        ledger.told_by_command(column, code, capsys.readouterr().err, column)
    for column in ("title", "price", "item_id"):
        capsys.readouterr()
        words = [*given(tmp_path / "later", EVENTS, LATER.drop(column)), *where, "name=later"]
        code = main(["prepare", "--new", f"{tmp_path}/runs/old", *words])
        ledger.inject("missing column: items that came later")
        ledger.told_by_command(column, code, capsys.readouterr().err, column)
    assert (
        main(["prepare", "--new", f"{tmp_path}/runs/old", *given(tmp_path / "later", EVENTS, LATER), *where, "name=later"]) == 0
    )


def test_items_added_to_a_recommender(ledger: Ledger) -> None:
    """Its contract: what an item does not say is null. But an id it must have, and no column that the catalogue lacks."""
    recommender = Recommender(shop(10))
    for rows in ([{"even": True}], [{"item_id": "a"}, {"even": True}], pl.DataFrame({"even": [True]})):
        ledger.inject("missing column: added items")
        assert ledger.told(rows, lambda rows=rows: recommender.add_items(rows), "item_id")  # type: ignore[misc]
    assert recommender.items.height == 10
    recommender.add_items([{"item_id": "a"}])
    assert recommender.items.row(-1) == ("a", None)
