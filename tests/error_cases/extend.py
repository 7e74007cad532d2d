"""What keeps a run from extending another."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from error_cases import Case, Scene
from genrec.data.lib.events import catalogue_after
from genrec.engine.artifacts import Store
from genrec.engine.runs import STORE, Run, extended_artifact, parent_of
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.protocols import CollisionContext
from genrec.stages.assign import STAGE
from genrec.tokenizers.collision.item_token import ItemToken
from genrec.tokenizers.lib.free_codes import find_places


def itself(scene: Scene) -> Any:
    run = Run(scene.path / "shop")
    run.start({}, [], {})
    return parent_of({"extends": str(run.path)}, run)


def other_settings(scene: Scene) -> Any:
    config = {"collision": {"max_group": 7}}
    Store(scene.path / STORE).make("sids", "f1", lambda folder, work: {}, stage="assign", config=config, inputs={})
    run = Run(scene.path / "shop")
    run.start({}, [], {"sids": "f1"})
    run.link("sids", "f1")
    return extended_artifact(run, STAGE, {"collision": {"max_group": 9}})


def types(scene: Scene) -> Any:
    old = pl.DataFrame({"item_id": ["a"], "price": [1.5]})
    return catalogue_after(old, pl.DataFrame({"item_id": ["b"], "price": ["cheap"]}))


def columns(scene: Scene) -> Any:
    old = pl.DataFrame({"item_id": ["a"], "price": [1.5]})
    return catalogue_after(old, pl.DataFrame({"item_id": ["b"]}))


def full(scene: Scene) -> Any:
    context = CollisionContext(item_ids=pl.Series(["late"]), train_counts=np.zeros(1, np.int64))
    return find_places(np.array([[0], [1]]), np.array([[0]]), (2,), context)


def long_path(scene: Scene) -> Any:
    context = CollisionContext(pl.Series(["a"]), np.zeros(1, dtype=np.int64))
    return ItemToken(path_levels=3).resolve(np.zeros((1, 2), dtype=np.int64), (4, 4), context)


CASES = [
    Case("fewer than no spare tokens", ConfigError, "got -1", lambda scene: ItemToken(spare=-1)),
    Case("no path", ConfigError, "got 0", lambda scene: ItemToken(path_levels=0)),
    Case("a path longer than the codes", ConfigError, "got 3", long_path),
    Case("no such run", ArtifactError, "/no/run", lambda scene: parent_of({"extends": "/no/run"}, Run(scene.path / "x"))),
    Case("a run extends itself", ConfigError, "got shop", itself),
    Case("fitted otherwise", ConfigError, "got 9", other_settings),
    Case("a column of another type", DataError, "cheap", types),
    Case("a column that is missing", DataError, "no price", columns),
    Case("no free place", DataError, "late", full),
]
