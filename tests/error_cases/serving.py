"""What a recommender and its bundle can be asked wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import torch

import genrec
from error_cases import Case, Scene
from genrec.artifacts import Store
from genrec.decoding.full_ranking import FullRanking
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.serving.catalogue import Catalogue
from genrec.serving.item_table import ItemTable
from genrec.serving.journal import Journal
from genrec.serving.limits import Limits
from genrec.serving.recommender import Recommender
from genrec.stages.export import ExportSettings
from genrec.stages.recommend import RecommendSettings

ROOMS = ("serving", "stages/export.py")
ITEMS = pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]})


def shop(items: pl.DataFrame = ITEMS) -> Recommender:
    return Recommender(Catalogue(generator=torch.nn.Identity(), strategy=FullRanking(), table=ItemTable(items, None)))


def asked(histories: Any, k: int = 1, items: pl.DataFrame = ITEMS, **wishes: Any) -> Callable[[Scene], Any]:
    return lambda scene: shop(items).recommend(histories, k, **wishes)


class Odd:
    """Looks like a table."""

    columns = ("user_id", "item_id")


def added(*items: Any) -> Callable[[Scene], Any]:
    return lambda scene: shop().add_items(items)


def twice(scene: Scene) -> Any:
    one = Journal(scene.path)
    try:
        return Journal(scene.path)
    finally:
        one.close()


def no_journal(scene: Scene) -> Any:
    (scene.path / "journal.sqlite").write_text("something else, and long enough to be read as a header of a database" * 20)
    return Journal(scene.path)


def of_tomorrow(scene: Scene) -> Any:
    def build(folder: Path, work: Path) -> dict[str, Any]:
        (folder / "bundle.json").write_text(json.dumps({"schema": 99, "genrec": "7.0"}))
        return {}

    return genrec.load(Store(scene.path).make("bundle", "f1", build, stage="export", config={}, inputs={}).path)


CASES = [
    Case("no items wanted", ConfigError, "-3", asked([], k=-3)),
    Case("a string for a history", DataError, "'item1'", asked("item1")),
    Case("no list", DataError, "1193", asked([1193, 661])),
    Case("no strings", DataError, "1193", asked([["a", 1193]])),
    Case("times of another number of histories", DataError, "got 1", asked([["a"], []], times=[[1]])),
    Case("times of another number of items", DataError, "got 2", asked(["a"], times=[1, 2])),
    Case("a time that is none", DataError, "'noon'", asked(["a"], times=["noon"])),
    Case("times beside a table", DataError, "[[1]]", asked(pl.DataFrame({"user_id": ["u"], "item_id": ["a"]}), times=[[1]])),
    Case("a table of something else", DataError, "Odd", asked(Odd())),
    Case("items that are numbers", DataError, "1.5", asked(pl.DataFrame({"user_id": ["u"], "item_id": [1.5]}))),
    Case(
        "an event without a time",
        DataError,
        "'v'",
        asked(pl.DataFrame({"user_id": ["u", "v"], "item_id": ["a", "a"], "timestamp": [1, None]})),
    ),
    Case("removing what is not there", DataError, "'z'", lambda scene: shop().remove_items(["a", "z"])),
    Case("no item", DataError, "'title'", added("title")),
    Case("an item without an id", DataError, "None", added({"title": "C"})),
    Case("an item twice", DataError, "'c'", added({"item_id": "c"}, {"item_id": "c"})),
    Case("an item with a column of its own", DataError, "titel", added({"item_id": "c", "titel": "C"})),
    Case("an item with a value of another type", DataError, "got 3", added({"item_id": "c", "title": 3})),
    Case("items that nothing gives an ID", ConfigError, "got c", added({"item_id": "c"})),
    Case("a likelihood that there is not", ConfigError, "Identity", lambda scene: shop().score([], ["a"])),
    Case("two on one journal", ArtifactError, "is using", twice),
    Case("no journal", ArtifactError, "not a database", no_journal),
    Case("a limit of nothing", ConfigError, "got 0", lambda scene: Limits(k=0)),
    Case("a short queue", ConfigError, "got 2", lambda scene: Limits(queue=2)),
    Case("above a limit", ConfigError, "got 101", lambda scene: Limits().check("k", "k", 101)),
    Case("a quota of no column", ConfigError, "titel", asked([], quota={"titel": 1})),
    Case(
        "a quota of lists",
        ConfigError,
        "List(String)",
        asked([], items=ITEMS.with_columns(tags=pl.Series([["x"], []], dtype=pl.List(pl.String))), quota={"tags": 1}),
    ),
    Case("bundle of another schema", ArtifactError, "schema 99 by genrec 7.0", of_tomorrow),
    Case("more than the whole list", ConfigError, "1.5", lambda scene: RecommendSettings(new_share=1.5)),
    Case("no such column", ConfigError, "titel", lambda scene: ExportSettings(columns=("titel",)).of(ITEMS)),
]
