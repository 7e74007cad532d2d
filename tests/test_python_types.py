"""Python calls with values of every type that people have: an answer, or one line that names the argument and the value."""

from __future__ import annotations

import datetime
import decimal
import pathlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import small_shop

import genrec
from genrec.core.dataset import Dataset
from genrec.errors import GenRecError
from genrec.recommender.recommender import Recommender

Call = Callable[[Recommender, list[str]], Any]


@pytest.fixture(scope="module")
def shop() -> Recommender:
    return Recommender(small_shop.shop(12))


ANSWERS: dict[str, tuple[Call, int]] = {
    "k of numpy": (lambda r, h: r.recommend(h, k=np.int64(3)), 3),
    "k beyond the catalogue": (lambda r, h: r.recommend(h, k=10**6, exclude_seen=True), 9),
    "a tuple": (lambda r, h: r.recommend(tuple(h), k=3), 3),
    "tuples": (lambda r, h: r.recommend((tuple(h), ()), k=3), 6),
    "an array": (lambda r, h: r.recommend(np.array(h), k=3), 3),
    "an array of two": (lambda r, h: r.recommend(np.array([h, h]), k=3), 6),
    "a column": (lambda r, h: r.recommend(pl.Series(h), k=3), 3),
    "a column of pandas": (lambda r, h: r.recommend(pd.Series(h), k=3), 3),
    "a generator": (lambda r, h: r.recommend((item for item in h), k=3), 3),
    "an empty history": (lambda r, h: r.recommend([[]], k=3), 3),
    "an empty table": (lambda r, h: r.recommend(pl.DataFrame({"user_id": [], "item_id": []}), k=3), 0),
    "an empty table of pandas": (lambda r, h: r.recommend(pd.DataFrame({"user_id": [], "item_id": []}), k=3), 0),
    "categories": (lambda r, h: r.recommend(pd.DataFrame({"user_id": ["u"], "item_id": pd.Categorical(h[:1])}), k=3), 3),
    "numbered users": (lambda r, h: r.recommend(pd.DataFrame({"user_id": [1], "item_id": h[:1]}), k=3), 3),
    "times of numpy": (lambda r, h: r.recommend(h, times=np.array([1.0, 2, 3]), k=2), 2),
    "a flag of numpy": (lambda r, h: r.recommend(h, k=2, exclude_seen=np.bool_(True)), 2),
    "similar, of numpy": (lambda r, h: r.similar(np.str_(h[0]), k=np.int64(2)), 2),
}

REFUSED: dict[str, tuple[Call, str, str]] = {
    "k=5.0": (lambda r, h: r.recommend(h, k=5.0), "k", "5.0"),
    "k, a float of numpy": (lambda r, h: r.recommend(h, k=np.float64(3)), "k", "3.0"),
    "batches of 2.0": (lambda r, h: r.recommend(h, batch_size=2.0), "batch_size", "2.0"),
    "a quota of 1.0": (lambda r, h: r.recommend(h, quota={"item_id": 1.0}), "quota", "1.0"),
    "k=2.5": (lambda r, h: r.recommend(h, k=2.5), "k", "2.5"),
    "k=None": (lambda r, h: r.recommend(h, k=None), "k", "None"),
    "k=True": (lambda r, h: r.recommend(h, k=True), "k", "True"),
    "k='3'": (lambda r, h: r.recommend(h, k="3"), "k", "'3'"),
    "k=nan": (lambda r, h: r.recommend(h, k=float("nan")), "k", "nan"),
    "k=inf": (lambda r, h: r.recommend(h, k=float("inf")), "k", "inf"),
    "k=0": (lambda r, h: r.recommend(h, k=0), "k", "0"),
    "a dict": (lambda r, h: r.recommend({"u1": h}), "histories", "u1"),
    "a set": (lambda r, h: r.recommend(set(h[:1])), "histories", "{'i"),
    "a set in a list": (lambda r, h: r.recommend([frozenset(h[:1])]), "histories", "frozenset"),
    "nobody": (lambda r, h: r.recommend([]), "histories", "[]"),
    "k=10**30": (lambda r, h: r.recommend(h, k=10**30), "k", "1" + "0" * 30),
    "None": (lambda r, h: r.recommend(None), "histories", "None"),
    "a number": (lambda r, h: r.recommend(5), "histories", "5"),
    "bytes": (lambda r, h: r.recommend(b"abc"), "histories", "b'abc'"),
    "a path": (lambda r, h: r.recommend(pathlib.Path("x")), "histories", "Path('x')"),
    "numbers": (lambda r, h: r.recommend([1, 2]), "histories", "1"),
    "numbers of numpy": (lambda r, h: r.recommend(np.array([1, 2])), "histories", "1"),
    "None in a history": (lambda r, h: r.recommend([[None]]), "histories", "None"),
    "an item and a list": (lambda r, h: r.recommend([h[0], h]), "histories", "'i"),
    "a table of nothing": (lambda r, h: r.recommend(pl.DataFrame()), "histories", "user_id"),
    "nested items": (lambda r, h: r.recommend(pl.DataFrame({"user_id": ["u"], "item_id": [h]})), "histories", "item"),
    "times that last": (
        lambda r, h: r.recommend(pl.DataFrame({"user_id": ["u"], "item_id": h[:1], "timestamp": [datetime.timedelta(1)]})),
        "histories",
        "timestamp",
    ),
    "times of a day": (
        lambda r, h: r.recommend(pl.DataFrame({"user_id": ["u"], "item_id": h[:1], "timestamp": [datetime.time(3)]})),
        "histories",
        "timestamp",
    ),
    "no batch": (lambda r, h: r.recommend(h, batch_size=0), "batch_size", "0"),
    "a batch of None": (lambda r, h: r.recommend(h, batch_size=None), "batch_size", "None"),
    "a filter in a list": (lambda r, h: r.recommend(h, filter=["x"]), "filter", "['x']"),
    "a filter of 5": (lambda r, h: r.recommend(h, filter=5), "filter", "5"),
    "steering by text": (lambda r, h: r.recommend(h, steer="a == 1"), "steer", "'a == 1'"),
    "steering by a list": (lambda r, h: r.recommend(h, steer=["a"]), "steer", "['a']"),
    "steering with text": (lambda r, h: r.recommend(h, steer={"item_id != 'x'": "3"}), "steer", "'3'"),
    "a quota in a list": (lambda r, h: r.recommend(h, quota=["brand"]), "quota", "['brand']"),
    "a quota of None": (lambda r, h: r.recommend(h, quota={"item_id": None}), "quota", "None"),
    "a quota of 1.5": (lambda r, h: r.recommend(h, quota={"item_id": 1.5}), "quota", "1.5"),
    "a flag of text": (lambda r, h: r.recommend(h, exclude_seen="no"), "exclude_seen", "'no'"),
    "times of text": (lambda r, h: r.recommend(h, times="abc"), "times", "'abc'"),
    "similar, k=-1": (lambda r, h: r.similar(h[0], k=-1), "k", "-1"),
    "similar to None": (lambda r, h: r.similar(None), "", "None"),
    "similar to a list": (lambda r, h: r.similar([h[0]]), "", "item"),
    "explain, last=-1": (lambda r, h: r.explain(h, h[0], last=-1), "last", "-1"),
    "explain, last=1.5": (lambda r, h: r.explain(h, h[0], last=1.5), "last", "1.5"),
    "explain None": (lambda r, h: r.explain(None, h[0]), "histories", "None"),
    "score nothing": (lambda r, h: r.score(h, []), "items", "[]"),
    "score None": (lambda r, h: r.score(h, None), "items", "None"),
    "score a text": (lambda r, h: r.score(h, h[0]), "items", "'i"),
    "score after a dict": (lambda r, h: r.score({"a": 1}, h), "histories", "'a'"),
    "beams, k=0": (lambda r, h: r.beams(h, k=0), "k", "0"),
    "beams of a dict": (lambda r, h: r.beams({"a": 1}), "histories", "'a'"),
    "add None": (lambda r, h: r.add_items(None), "items", "None"),
    "add a dict": (lambda r, h: r.add_items({"item_id": "new"}), "items", "new"),
    "add a text": (lambda r, h: r.add_items("x"), "items", "'x'"),
    "add numbers": (lambda r, h: r.add_items([5]), "", "5"),
    "update None": (lambda r, h: r.update_items(None), "items", "None"),
    "remove None": (lambda r, h: r.remove_items(None), "items", "None"),
    "remove a text": (lambda r, h: r.remove_items("abc"), "items", "'abc'"),
    "remove a dict": (lambda r, h: r.remove_items({"abc": 1}), "items", "abc"),
    "remove numbers": (lambda r, h: r.remove_items([5]), "", "5"),
    "restore None": (lambda r, h: r.restore_items(None), "items", "None"),
    "items with None": (lambda r, h: r.items_with(None), "", "None"),
    "run until nope": (lambda r, h: genrec.run(data="demo", until="nope"), "until", "'nope'"),
    "run until None": (lambda r, h: genrec.run(data="demo", until=None), "until", "None"),
    "run('demo')": (lambda r, h: genrec.run("demo"), "settings", "'demo'"),
    "audit('demo')": (lambda r, h: genrec.audit("demo"), "settings", "'demo'"),
    "run a set": (lambda r, h: genrec.run(data={"demo"}), "data", "{'demo'}"),
    "run overrides of 5": (lambda r, h: genrec.run(overrides=[5]), "overrides", "5"),
    "run a word": (lambda r, h: genrec.run(foo=1), "foo", "foo"),
    "compare nothing": (lambda r, h: genrec.compare(), "compare", "none"),
    "compare None": (lambda r, h: genrec.compare(None), "compare", "None"),
    "load None": (lambda r, h: genrec.load(None), "load", "None"),
    "load a list": (lambda r, h: genrec.load(["x"]), "load", "['x']"),
    "load nothing": (lambda r, h: genrec.load("nowhere"), "nowhere", "neither"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(shop: Recommender, name: str) -> None:
    call, height = ANSWERS[name]
    assert call(shop, shop.items["item_id"].to_list()[:3]).height == height


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(shop: Recommender, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    call, where, value = REFUSED[name]
    items = shop.items["item_id"].to_list()[:3]
    warnings.simplefilter("ignore")  # of unknown ids; pytest resets it
    with pytest.raises(GenRecError) as caught:
        call(shop, items)
    line = str(caught.value)
    assert line.startswith(where)
    assert value in line
    assert "\n" not in line


# --- tables in memory as data -------------------------------------------------------------------------------------------

ROWS = {"user_id": [u for u in "abcd" for _ in range(4)], "item_id": list("wxyzxyzwyzwxzwxy"), "timestamp": [*range(16)]}
ITEMS = {"item_id": [*"wxyz"], "title": [*"WXYZ"]}
TABLES: dict[str, Callable[[], Any]] = {
    "polars": lambda: pl.DataFrame(ROWS),
    "lazy": lambda: pl.LazyFrame(ROWS),
    "pandas": lambda: pd.DataFrame(ROWS),
    "arrow": lambda: pl.DataFrame(ROWS).to_arrow(),
    "with items": lambda: {
        "interactions": pd.DataFrame(ROWS),
        "items": pl.DataFrame({"item_id": [*"wxyz"], "title": [*"WXYZ"]}),
    },
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_data(tmp_path: pathlib.Path, name: str) -> None:
    settings = {"data": TABLES[name](), "paths": {"runs": tmp_path / "my rüns"}, "name": "t", "until": "prepare", "quiet": True}
    run = genrec.run(**settings)
    dataset = Dataset.load(run.artifact("dataset").path)
    assert (dataset.num_users, dataset.num_items) == (4, 4)
    assert ("title" in dataset.items.columns) is (name == "with items")
    again = genrec.run(**settings)
    assert again.links == run.links
    assert len(list((tmp_path / "my rüns" / ".store" / "tables").iterdir())) == (2 if name == "with items" else 1)


def test_another_table_is_other_data(tmp_path: pathlib.Path) -> None:
    where = {"overrides": [f"paths.runs={tmp_path}/runs"], "until": "prepare", "quiet": True}
    first = genrec.run(data=pl.DataFrame(ROWS), name="a", **where)
    other = genrec.run(data=pl.DataFrame({**ROWS, "timestamp": [*reversed(range(16))]}), name="b", **where)
    assert first.links != other.links


def test_decimals_are_numbers(shop: Recommender) -> None:
    item_id = shop.items["item_id"][0]
    table = pl.DataFrame({"user_id": ["u"], "item_id": [item_id], "timestamp": [decimal.Decimal("1.5")]})
    assert shop.recommend(table, k=3).height == 3
