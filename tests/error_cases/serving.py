"""What a recommender and its bundle can be asked wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import torch

import genrec
from error_cases import Case, Scene
from genrec.decoding.full_ranking import FullRanking
from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.serving.recommender import Recommender
from genrec.stages.export import ExportSettings
from genrec.stages.recommend import RecommendSettings

ROOMS = ("serving", "stages/export.py")
ITEMS = pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]})


def asked(histories: Any, k: int = 1, items: pl.DataFrame = ITEMS, **wishes: Any) -> Callable[[Scene], Any]:
    def trigger(scene: Scene) -> Any:
        return Recommender(generator=torch.nn.Identity(), strategy=FullRanking(), items=items).recommend(histories, k, **wishes)

    return trigger


def removed(item_ids: list[str]) -> Callable[[Scene], Any]:
    return lambda scene: Recommender(generator=torch.nn.Identity(), strategy=FullRanking(), items=ITEMS).remove_items(item_ids)


def of_tomorrow(scene: Scene) -> Any:
    manifest = {"kind": "bundle", "schema": 1, "stage": "export", "files": {}}
    (scene.path / "manifest.json").write_text(json.dumps(manifest))
    (scene.path / "bundle.json").write_text(json.dumps({"schema": 99, "genrec": "7.0"}))
    return genrec.load(scene.path)


CASES = [
    Case("no items wanted", ConfigError, "-3", asked([], k=-3)),
    Case("a string for a history", DataError, "'item1'", asked("item1")),
    Case("no list", DataError, "1193", asked([1193, 661])),
    Case("no strings", DataError, "1193", asked([["a", 1193]])),
    Case("removing what is not there", DataError, "'z'", removed(["a", "z"])),
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
