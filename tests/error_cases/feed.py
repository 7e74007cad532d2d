"""What a nightly feed, and calls that change the catalogue, can be asked wrongly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from error_cases import Case, Scene
from error_cases.serving import added, shop
from genrec.cli import _dispatch
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.evaluation.list_settings import RecommendSettings
from genrec.recommender.feed import read_ids
from genrec.recommender.journal import Journal
from genrec.serving.feed_client import FeedClient


def fed(*words: str, rows: Any = None) -> Callable[[Scene], Any]:
    """The command, in a folder with a bundle's items.parquet and a feed ``a.csv``."""

    def trigger(scene: Scene) -> Any:
        Path("b").mkdir()
        pl.DataFrame({"item_id": ["a"], "price": [1.5]}).write_parquet("b/items.parquet")
        pl.DataFrame(rows or {"item_id": ["a"], "price": ["cheap"]}).write_csv("a.csv")
        return _dispatch("feed", ["b", *words])

    return trigger


def while_it_runs(scene: Scene) -> Any:
    journal = Journal(scene.path / "state")
    try:
        return fed("a.csv", "--state-dir", "state", rows={"item_id": ["a"]})(scene)
    finally:
        journal.close()


def answered(status: int, body: bytes) -> Callable[[Scene], Any]:
    """A feed to a service that answers so."""

    def trigger(scene: Scene) -> Any:
        import io
        import urllib.error
        import urllib.request

        def refuse(request: Any, timeout: float) -> Any:
            raise urllib.error.HTTPError(request.full_url, status, "", {}, io.BytesIO(body))  # type: ignore[arg-type]

        scene.monkeypatch.setattr(urllib.request, "urlopen", refuse)
        return FeedClient("http://shop", None).feed([{"item_id": "a"}])

    return trigger


def ids_of(content: bytes, name: str = "ids.txt") -> Callable[[Scene], Any]:
    def trigger(scene: Scene) -> Any:
        (scene.path / name).write_bytes(content)
        return read_ids(scene.path / name)

    return trigger


REFUSED = b'{"where": "items", "expected": "at most 100", "got": "500", "fix": "ask for less"}'
CASES = [
    Case("a feed to nowhere", ConfigError, "got neither", fed("a.csv")),
    Case("a feed of nothing", ConfigError, "none of them", fed("--state-dir", "state")),
    Case("full without a file", ConfigError, "got none", fed("--state-dir", "state", "--removed", "a.csv", "--full-catalogue")),
    Case("a feed that does not fit", DataError, "1 of 1", fed("a.csv", "--state-dir", "state")),
    Case("the state of a service that runs", ArtifactError, "is using", while_it_runs),
    Case("no address", ConfigError, "ftp://x", lambda scene: FeedClient("ftp://x", None)),
    Case("another token", ConfigError, "got another", answered(401, REFUSED.replace(b"500", b"another"))),
    Case("refused by the service", DataError, "got 500", answered(422, REFUSED)),
    Case("a page of somebody else", DataError, "<html>", answered(502, b"<html>")),
    Case("no service", ConfigError, "refused", lambda scene: FeedClient("http://127.0.0.1:1", None).feed([{"item_id": "a"}])),
    Case("ids that are no text", DataError, "decode", ids_of(b"\xff\xfe\xff")),
    Case("a row without an id", DataError, "None", ids_of(b"item_id,x\na,1\n,2\n", "ids.csv")),
    Case("a reach beyond the catalogue", ConfigError, "1.5", lambda scene: RecommendSettings(new_item_reach=1.5)),
    Case("like what is not there", DataError, "'z'", lambda scene: shop().similar("z")),
    Case("an id that is too long", DataError, "(1,001 characters)", added({"item_id": "x" * 1001})),
    Case("an id of half a character", DataError, "\\ud83d", added({"item_id": "\ud83d"})),
    Case("an id of nothing", DataError, "''", added({"item_id": ""})),
    Case("an id that is a number", DataError, "1193", added({"item_id": 1193})),
    Case("no list of ids", DataError, "'a'", lambda scene: shop().remove_items("a")),
    Case("ids that are numbers", DataError, "got 5", lambda scene: shop().restore_items(["a", 5])),  # type: ignore[list-item]
    Case(
        "updating with a column of its own",
        DataError,
        "titel",
        lambda scene: shop().update_items([{"item_id": "a", "titel": ""}]),
    ),
    Case("items of no status", ConfigError, "gone", lambda scene: shop().items_with("gone")),
]
