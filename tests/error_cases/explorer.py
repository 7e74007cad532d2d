"""Messages of `genrec explore`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
from test_explorer import explored

from error_cases import Case, Scene
from genrec.cli import _dispatch
from genrec.errors import ArtifactError, ConfigError
from genrec.reports.explorer import catalog_of


def strangers(scene: Scene) -> Any:
    one, other = explored("shoes"), explored("films")
    items = other.dataset.items.with_columns(item_id=pl.lit("f") + pl.col("item_id"))
    return catalog_of([one, replace(other, dataset=replace(other.dataset, items=items))])


CASES = [
    Case("no run", ArtifactError, "nowhere", lambda scene: _dispatch("explore", ["nowhere"])),
    Case("three runs", ConfigError, "got 3", lambda scene: _dispatch("explore", ["a", "b", "c"])),
    Case("no item in common", ConfigError, "films", strangers),
]
