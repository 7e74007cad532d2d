"""What a recommender and its bundle can be asked wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import small_shop
import torch
from small_bundle import listed_anew
from small_shop import shop as random_shop

from error_cases import Case, Scene
from genrec.decoding.exhaustive import Exhaustive
from genrec.decoding.full_ranking import FullRanking
from genrec.engine.store_files import Lock
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.evaluation.list_settings import RecommendSettings
from genrec.model.trained import Model
from genrec.recommender.batch_lists import EMPTY_REQUEST, recommend_shards
from genrec.recommender.bundle import _sample_times, open_catalogue
from genrec.recommender.catalogue import Catalogue
from genrec.recommender.id_pieces import IDPieces
from genrec.recommender.item_table import ItemTable
from genrec.recommender.journal import Journal
from genrec.recommender.recommender import Recommender
from genrec.serving.limits import Limits
from genrec.stages.export import ExportSettings

ITEMS = pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]})


def shop(items: pl.DataFrame = ITEMS) -> Recommender:
    return Recommender(
        Catalogue(model=Model(generator=torch.nn.Identity(), strategy=FullRanking()), table=ItemTable(items, None))
    )


def asked(histories: Any, k: int = 1, items: pl.DataFrame = ITEMS, **settings: Any) -> Callable[[Scene], Any]:
    return lambda scene: shop(items).recommend(histories, k, **settings)


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
    (scene.path / "journal.sqlite").write_text(
        "something else, and long enough to be read as a header of a database" * 20, encoding="utf-8"
    )
    return Journal(scene.path)


def opened(bundle: Any, damage: Callable[[Path], Any] = lambda folder: None, kind: str = "bundle") -> Callable[[Scene], Any]:
    """Opens a folder with a bundle.json and a generator's configuration that its manifest lists, damaged afterwards."""

    def trigger(scene: Scene) -> Any:
        folder = scene.path / "bundle"
        (folder / "generator").mkdir(parents=True)
        (folder / "bundle.json").write_text(json.dumps(bundle), encoding="utf-8")
        (folder / "generator" / "config.json").write_text(json.dumps({"generator": {"_target_": SASREC}}), encoding="utf-8")
        (folder / "manifest.json").write_text(json.dumps({"kind": kind, "schema": 1, "stage": "export"}), encoding="utf-8")
        listed_anew(folder)
        damage(folder)
        return open_catalogue(folder)

    return trigger


SASREC = "genrec.generators.sasrec.SASRec"
WHOLE = {"schema": 1, "genrec": "0.1", "config": {"decoding": {"_target_": "genrec.decoding.full_ranking.FullRanking"}}}
ELSEWHERE = {"_target_": "genrec.encoders.precomputed.Precomputed", "path": "/etc/vectors.parquet"}


def linked(folder: Path) -> None:
    (folder / "bundle.json").rename(folder.parent / "elsewhere.json")
    (folder / "bundle.json").symlink_to(folder.parent / "elsewhere.json")


def sharded(
    rows: pl.DataFrame | bytes | None, begun: Callable[[Path], Any] = lambda out: None, *, k: int = 10, shard_rows: Any = 100
) -> Callable[[Scene], Any]:
    """Writes lists for a table, in a folder in which something was ``begun``."""

    def trigger(scene: Scene) -> Any:
        histories, out = scene.path / "h.parquet", scene.path / "out"
        if isinstance(rows, pl.DataFrame):
            rows.write_parquet(histories)
        elif rows is not None:
            histories.write_bytes(rows)
        out.mkdir()
        begun(out)
        request = replace(EMPTY_REQUEST, k=k)
        return recommend_shards(random_shop(40), histories, out, request, shard_rows=shard_rows, bundle="b")

    return trigger


HELD: list[Lock] = []


def another_writes(out: Path) -> None:
    lock = Lock(out / ".lock")
    assert lock.take()
    HELD.append(lock)  # for as long as this process lives


ROWS = pl.DataFrame({"user_id": ["u"], "item_id": ["a"]})


def without_beams(scene: Scene) -> Any:
    return Recommender(small_shop.with_model(small_shop.shop(5), strategy=Exhaustive())).beams([])


def timed(scene: Scene) -> Any:
    (scene.path / "sample_times.json").write_text('[[1, "noon"]]', encoding="utf-8")
    return _sample_times(scene.path / "sample_times.json", [["a", "b"]])


CASES = [
    Case("times of samples that are none", ArtifactError, "'noon'", timed),
    Case("no items wanted", ConfigError, "-3", asked([[]], k=-3)),
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
    Case("fewer connections than may wait", ConfigError, "got 500", lambda scene: Limits(connections=500)),
    Case("above a limit", ConfigError, "got 1001", lambda scene: Limits().check("k", "k", 1001)),
    Case("a quota of no column", ConfigError, "titel", asked([[]], quota={"titel": 1})),
    Case(
        "a quota of lists",
        ConfigError,
        "List(String)",
        asked([[]], items=ITEMS.with_columns(tags=pl.Series([["x"], []], dtype=pl.List(pl.String))), quota={"tags": 1}),
    ),
    Case("bundle of another schema", ArtifactError, "schema 99", opened(WHOLE | {"schema": 99})),
    Case("bundle of a newer revision", ArtifactError, "revision 7 by genrec 0.1", opened(WHOLE | {"revision": 7})),
    Case("no bundle", ArtifactError, "got generator", opened(WHOLE, kind="generator")),
    Case("a link to elsewhere", ArtifactError, "elsewhere.json", opened(WHOLE, linked)),
    Case("a file beside", ArtifactError, "generator/more.pt", opened(WHOLE, lambda f: (f / "generator" / "more.pt").touch())),
    Case("another kind of class", ConfigError, "Precomputed", opened(WHOLE | {"config": {"decoding": ELSEWHERE}})),
    Case("less than a bundle", ArtifactError, "items.parquet", opened(WHOLE)),
    Case("a shard of nothing", ConfigError, "got 0", sharded(ROWS, shard_rows=0)),
    Case("no histories", DataError, "h.parquet", sharded(None)),
    Case("histories in another form", DataError, "h.parquet", sharded(b"user_id,item_id")),
    Case("a folder in use", ConfigError, "notes.txt", sharded(ROWS, lambda out: (out / "notes.txt").touch())),
    Case(
        "lists of something else",
        ConfigError,
        "by genrec None",
        sharded(ROWS, lambda out: (out / "plan.json").write_text("{}", encoding="utf-8"), k=5),
    ),
    Case("two on one folder", ArtifactError, "another process", sharded(ROWS, another_writes)),
    Case("a row of nobody", DataError, "row 1", sharded(ROWS.with_columns(user_id=pl.lit(None, pl.String)))),
    Case("more than the whole list", ConfigError, "1.5", lambda scene: RecommendSettings(new_item_share=1.5)),
    Case("no such column", ConfigError, "titel", lambda scene: ExportSettings(columns=("titel",)).of(ITEMS)),
    Case("few pieces", ConfigError, "got 5", lambda scene: IDPieces.fit(np.zeros((2, 2), int), (3, 3), np.ones(2), 5)),
    Case("fewer than no users", ConfigError, "got -1", lambda scene: ExportSettings(sample_users=-1)),
    Case("a search without beams", ConfigError, "Exhaustive", without_beams),
]
