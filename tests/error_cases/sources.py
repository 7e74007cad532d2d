"""Messages of tables of other formats, of the data sets that are downloaded, of the order of events and of the splits."""

from __future__ import annotations

import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from error_cases import Case, Scene
from genrec.core.dataset import Sequences
from genrec.data.amazon import Amazon
from genrec.data.demo import DemoShop
from genrec.data.leave_one_out import LeaveOneOut
from genrec.data.lib.demo_world import World
from genrec.data.lib.download import public_file
from genrec.data.lib.events import Events
from genrec.data.lib.files import read_items, read_table
from genrec.data.movielens import MovieLens
from genrec.data.order import Order
from genrec.data.temporal import Temporal
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.protocols import RawData
from genrec.stages import prepare

Trigger = Callable[[Scene], Any]
TIMES = np.array([1.0, 2.0, 3.0, 4.0])


def table(name: str, content: bytes, **settings: Any) -> Trigger:
    def trigger(scene: Scene) -> Any:
        (scene.path / name).write_bytes(content)
        return read_table(scene.path / name, **settings)

    return trigger


def two_ids(scene: Scene) -> Any:
    (scene.path / "i.csv").write_text("asin,item_id\na,1\n", encoding="utf-8")
    return read_items(scene.path / "i.csv", "asin")


def ordered(by: str, **columns: Any) -> Trigger:
    """Sorts two events of one user."""

    def trigger(scene: Scene) -> Any:
        rows = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], **columns}).with_row_index("row")
        return Order(by=by).sort(Events.of(RawData(rows, None)), "x.csv")  # type: ignore[arg-type]

    return trigger


def cut(times: np.ndarray | None = TIMES, **settings: Any) -> Trigger:
    """Splits the events of one user by time."""
    return lambda scene: Temporal(**settings).split(np.array([0, 4]), times)


def short_user(scene: Scene) -> Any:
    return LeaveOneOut().keep(pl.DataFrame({"user_id": ["ann", "bob"], "num_events": [2, 9]}))


def no_network(scene: Scene) -> Any:
    def refuse(*args: Any, **more: Any) -> Any:
        raise urllib.error.URLError("no route to host")

    scene.monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return public_file(scene.path / "x.zip", "https://example.org/x.zip")


def changed(scene: Scene) -> Any:
    (scene.path / "x.zip").write_bytes(b"old")
    public_file(scene.path / "x.zip", "https://example.org/x.zip")
    (scene.path / "x.zip").write_bytes(b"new")
    return public_file(scene.path / "x.zip", "https://example.org/x.zip")


def movielens(**files: str) -> Trigger:
    """Loads an edition whose archive holds other files."""

    def trigger(scene: Scene) -> Any:
        with zipfile.ZipFile(scene.path / "ml-1m.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(f"ml-1m/{name}.dat", content)
        return MovieLens(edition="1m", folder=str(scene.path)).load()

    return trigger


def product_without_id(scene: Scene) -> Any:
    reviews = '{"reviewerID": "u", "asin": "a", "overall": 5, "unixReviewTime": 1}\n'
    (scene.path / "reviews_Beauty_5.json").write_text(reviews, encoding="utf-8")
    (scene.path / "meta_Beauty.json").write_text("{'title': 'x'}\n", encoding="utf-8")
    return Amazon(edition=2014, category="Beauty", folder=str(scene.path)).load()


def world(scene: Scene) -> World:
    """The demo world beside a prepared dataset of it."""
    config = {
        "data": {"_target_": "genrec.data.demo.DemoShop", "num_users": 5, "num_items": 400},
        "filters": {"_target_": "genrec.data.filters.Filters"},
        "order": {"_target_": "genrec.data.order.Order"},
        "split": {"_target_": "genrec.data.leave_one_out.LeaveOneOut"},
    }
    context = SimpleNamespace(config=config, folder=scene.path, extends=None, log=lambda line: None)
    prepare.build(context)  # type: ignore[arg-type]
    return World.load(scene.path)


def filtered_world(scene: Scene) -> Any:
    world(scene)
    ends = np.load(scene.path / "offsets.npy")
    np.save(scene.path / "offsets.npy", np.append(ends[:-1], ends[-1] - 1))
    return World.load(scene.path)


def impossible_history(scene: Scene) -> Any:
    """A history that begins with an item that nobody can buy so early."""
    shop = world(scene)
    first = np.flatnonzero(shop.chain.arrivals)[:1].astype(np.int32)
    return shop.predict(Sequences(first, np.array([0, 1, 1, 1, 1, 1])), np.array([0]))


def parts_without_split(scene: Scene) -> Any:
    return prepare._require_column({"test": "test.csv"}, LeaveOneOut())


EVENTS = b"user_id,item_id\nu,a\n"

CASES = [
    # tables
    Case("a name without format", DataError, "got x.zzz; rename or convert the file", table("x.zzz", EVENTS)),
    Case("a header alone", DataError, "got none (0 rows)", table("x.csv", b"user_id,item_id\n")),
    Case("noise as feather", DataError, "x.feather: expected a feather file (version 2), got ", table("x.feather", b"noise")),
    Case("noise as parquet", DataError, "x.parquet: expected a parquet file, got ", table("x.parquet", b"noise")),
    Case(
        "an empty column",
        DataError,
        "x.csv, column user_id: expected values, got None in all 2 rows",
        table("x.csv", b"user_id,item_id\n,a\n,b\n", columns=["user_id", "item_id"], required=["user_id"]),
    ),
    Case("another column", DataError, "'user', got columns user_id, item_id", table("x.csv", EVENTS, required=["user"])),
    Case("two columns of ids", DataError, "got both 'asin' and 'item_id'", two_ids),
    # data sets of others
    Case("no network", DataError, "got nothing there, and no download (no route to host)", no_network),
    Case("a file that has changed", DataError, "got 11507a0e2f5e69d5", changed),
    Case("a zip of other files", DataError, "ml-1m/movies.dat", movielens(ratings="1::2::3::4\n")),
    Case(
        "a line of other fields",
        DataError,
        "line 2: expected 4 fields",
        movielens(ratings="1::2::3::4\n1::2\n", movies="2::x::y\n"),
    ),
    Case("a product without id", DataError, "row 1, column asin: expected an id, got None", product_without_id),
    Case("a small demo", ConfigError, "data.num_items: expected at least 240, got 7", lambda scene: DemoShop(num_items=7)),
    Case(
        "no demo world",
        ArtifactError,
        "demo_world.safetensors: expected a demo world, got no file",
        lambda scene: World.load(scene.path),
    ),
    Case("a demo world that was filtered", DataError, "events of the demo world, got ", filtered_world),
    Case("a history that cannot be", DataError, "user_idx 0, event 0", impossible_history),
    # order and splits
    Case("no position", DataError, "got interactions with timestamp only", ordered("position", timestamp=[1, 2])),
    Case("a gap in the times", DataError, "row 2, column timestamp", ordered("timestamp", timestamp=[1, None])),
    Case("a user with too few events", DataError, "got 2 of user 'ann' (1 such users)", short_user),
    Case("a share above 1", ConfigError, "split.test_from: expected a share in (0, 1), got 2.0", cut(test_from=2.0)),
    Case(
        "a date that is none",
        ConfigError,
        "split.test_from: expected a time or an ISO date, got soon",
        cut(test_from="soon", cuts="time"),
    ),
    Case("a split by no times", DataError, "got data without (complete) times", cut(None)),
    Case("times backwards", DataError, "got 3 before 1 (1 such places)", cut(np.array([2.0, 3.0, 1.0, 4.0]))),
    Case(
        "nothing to test",
        DataError,
        "events in the test part, got cuts at 2 and 9",
        cut(validation_from=2, test_from=9, cuts="time"),
    ),
    Case(
        "parts without their split", ConfigError, "because data.test is a part of its own, got LeaveOneOut", parts_without_split
    ),
]
