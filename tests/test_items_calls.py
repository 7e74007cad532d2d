"""Items over HTTP and from Python: updates show at once, takedowns stay, and what may be added can be taken down."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small_shop import shop
from test_service import TOKEN, changed, removing, served

from genrec.errors import DataError
from genrec.recommender.item_changes import Changes
from genrec.recommender.journal import JOURNAL_FILE, Journal
from genrec.recommender.persistent import PersistentRecommender
from genrec.recommender.recommender import Recommender
from genrec.serving.limits import Limits

ODD_IDS = ["x" * 1000, " ", "a&item_id=b", "ü☃/?#%", "0", "null", "line\nbreak", "'; DROP TABLE items; --", "😀"]


def asked(client: Any, method: str, path: str, body: Any = None, **params: Any) -> Any:
    return client.request(method, path, json=body, params=params, headers=TOKEN)


def listed(client: Any, **settings: Any) -> list[str]:
    answer = client.post("/recommend", json={"histories": [["i1"]], "k": 60, **settings})
    return [item["item_id"] for item in answer.json()["lists"][0]["items"]] if answer.status_code == 200 else []


def test_a_known_item_gets_the_content_of_today_and_stays_down() -> None:
    with served(Limits()) as client:
        codes = asked(client, "GET", "/items", item_id="i2").json()["items"][0]["codes"]
        removing(client, "i2")
        answer = asked(client, "POST", "/items", {"items": [{"item_id": "i2", "even": False}, {"item_id": "i4"}]})
        expected = {"num_updated": 1, "num_unchanged": 1, "num_still_removed": 1}
        assert changed(answer) == {"num_items": 40, "num_removed": 1} | expected
        told = asked(client, "GET", "/items", item_id="i2").json()["items"][0]
        assert told == {"item_id": "i2", "content": {"even": False}, "codes": codes, "status": ["removed", "updated"]}
        assert "i2" not in listed(client)
        answer = asked(client, "POST", "/items/restore", {"item_ids": ["i2", "nobody", "i3"]})
        assert changed(answer) == {"num_items": 40, "num_restored": 1, "num_unchanged": 1, "unknown": ["nobody"]}
        assert "i2" in listed(client, filter="even == false"), "filters read the new content"
        assert "i2" not in listed(client, filter="even == true")


def test_patching_names_what_is_not_there() -> None:
    with served(Limits()) as client:
        answer = asked(client, "PATCH", "/items", {"items": [{"item_id": "i1", "even": None}, {"item_id": "new"}]})
        assert changed(answer) == {"num_items": 40, "num_updated": 1, "unknown": ["new"]}
        assert "i1" not in listed(client, filter="even == false", exclude_seen=False)
        answer = asked(client, "PATCH", "/items", {"items": [{"item_id": "i1", "even": "no"}, {"item_id": "i3", "even": None}]})
        assert (answer.status_code, answer.json()["got"]) == (422, "'no'")
        assert asked(client, "GET", "/items", status="updated").json()["num_found"] == 1, "nothing half done"


def test_items_of_a_status_page_by_page() -> None:
    with served(Limits()) as client:
        removing(client, *(f"i{row}" for row in range(0, 12, 2)))
        asked(client, "POST", "/items", {"items": [{"item_id": f"new{n}"} for n in range(3)]})
        removing(client, "new1")
        pages = [asked(client, "GET", "/items", status="removed", limit=3, offset=place).json() for place in (0, 3, 6, 9)]
        ids = [[item["item_id"] for item in page["items"]] for page in pages]
        assert ids == [["i0", "i2", "i4"], ["i6", "i8", "i10"], ["new1"], []]
        assert {page["num_found"] for page in pages} == {7}
        added = asked(client, "GET", "/items", status="added").json()
        assert [item["status"] for item in added["items"]] == [["active", "added"], ["removed", "added"], ["active", "added"]]
        assert asked(client, "GET", "/items", status="active", limit=1000).json()["num_found"] == 43 - 7
        told = asked(client, "GET", "/items", status="delisted")
        assert (told.status_code, told.json()["got"]) == (422, "delisted")


@pytest.mark.parametrize("item_id", ODD_IDS, ids=range(len(ODD_IDS)))
def test_what_may_be_added_can_be_named_and_taken_down(item_id: str) -> None:
    with served(Limits()) as client:
        assert changed(asked(client, "POST", "/items", {"items": [{"item_id": item_id}]}))["num_added"] == 1
        assert item_id in listed(client, histories=[[item_id]], exclude_seen=False)
        assert asked(client, "GET", "/items", item_id=item_id).json()["unknown"] == []
        assert asked(client, "DELETE", "/items", item_id=item_id).json()["num_taken_down"] == 1
        assert item_id not in listed(client)
        assert asked(client, "POST", "/items/restore", {"item_ids": [item_id]}).json()["num_restored"] == 1
        assert asked(client, "POST", "/items/remove", {"item_ids": [item_id]}).json()["num_taken_down"] == 1


@pytest.mark.parametrize("item_id", ["", "x" * 1001, "x" * 100_000, 7, None])
def test_what_may_not_be_added_is_refused_by_every_way_in(item_id: Any, tmp_path: Path) -> None:
    with served(Limits()) as client:
        answer = asked(client, "POST", "/items", {"items": [{"item_id": "fine"}, {"item_id": item_id}]})
        assert (answer.status_code, answer.json()["where"]) == (422, "items")
        assert asked(client, "GET", "/items", status="added").json()["num_found"] == 0
    for recommender in (Recommender(shop(20)), live := PersistentRecommender(shop(20), Journal(tmp_path))):
        with pytest.raises(DataError, match="an item_id"):
            recommender.add_items([{"item_id": "fine"}, {"item_id": item_id}])
        assert recommender.items.height == 20
    live.close()
    assert Journal(tmp_path).entries() == []


def test_whatever_a_catalogue_has_can_be_taken_down() -> None:
    """Bundles may have ids that no item may come with any more."""
    catalogue = shop(20)
    long = "i" * 5000
    catalogue.table.frame = catalogue.table.frame.with_columns(
        item_id=catalogue.table.frame["item_id"].replace({"i3": long}),
    )
    with served(Limits(), catalogue=catalogue) as client:
        assert long in listed(client)
        assert asked(client, "DELETE", "/items", item_id=long).json()["num_taken_down"] == 1
        assert long not in listed(client)


def test_a_column_without_a_name() -> None:
    """The index that a csv of pandas begins with."""
    catalogue = shop(20)
    catalogue.table.frame = catalogue.table.frame.with_columns(pl.int_range(pl.len()).alias(""))
    catalogue, changes = catalogue.with_items([{"item_id": "i3", "": 333}, {"item_id": "late", "": 20}])
    assert (changes.updated, changes.added) == (("i3",), ("late",))
    assert catalogue.table.frame.filter(pl.col("item_id").is_in(["i3", "late"]))[""].to_list() == [333, 20]


OLD_TABLE = """
CREATE TABLE items (number INTEGER PRIMARY KEY, item_id TEXT UNIQUE NOT NULL, content TEXT, removed INTEGER NOT NULL,
                    checksum INTEGER NOT NULL)
"""
OLD_ROWS = [
    ("late1", '{"item_id": "late1", "even": true}', 0),
    ("i4", None, 1),
    ("late2", '{"item_id": "late2"}', 1),
]


def of_schema_1(folder: Path, checksum: Callable[[list[Any]], int]) -> None:
    with sqlite3.connect(folder / JOURNAL_FILE) as database:
        database.execute(OLD_TABLE)
        for number, (item_id, content, removed) in enumerate(OLD_ROWS):
            row = (number, item_id, content, removed, checksum([item_id, content, removed]))
            database.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?)", row)
        database.execute("CREATE TABLE writes (number INTEGER NOT NULL)")
        database.execute("INSERT INTO writes VALUES (3)")
        database.execute("PRAGMA user_version=1")
    database.close()


def test_a_journal_of_before_updates_opens(tmp_path: Path) -> None:
    of_schema_1(tmp_path, lambda row: zlib.crc32(json.dumps(row).encode()))
    for _ in range(2):  # brought up to date once
        live = PersistentRecommender(shop(20), Journal(tmp_path))
        assert live.removed == ["i4", "late2"]
        assert live.items.tail(2).rows() == [("late1", True), ("late2", None)]
        live.close()
    live = PersistentRecommender(shop(20), Journal(tmp_path))
    assert live.add_items([{"item_id": "late2", "even": False}]) == Changes(updated=("late2",), still_removed=("late2",))
    live.close()
    assert PersistentRecommender(shop(20), Journal(tmp_path)).items.row(-1) == ("late2", False)
