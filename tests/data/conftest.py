"""Runs the prepare stage on small files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrec.core.dataset import Dataset
from genrec.engine.stage import Runtime, StageContext
from genrec.stages.prepare import STAGE

FILTERS = "genrec.data.filters.Filters"
ORDER = "genrec.data.order.Order"
TABLES = "genrec.data.tables.Tables"
LEAVE_ONE_OUT = "genrec.data.leave_one_out.LeaveOneOut"


@dataclass
class Prepared:
    dataset: Dataset
    interactions: pl.DataFrame
    said: str


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., Prepared]:
    """prepare(source node, filters={...}, order={...}, split={...}) -> what is on disk afterwards."""
    number = iter(range(100))

    def run(data: dict[str, Any], filters: Any = None, order: Any = None, split: Any = None) -> Prepared:
        folder = tmp_path / f"dataset{next(number)}"
        folder.mkdir()
        config = {
            "data": {"_target_": TABLES, **data},
            "filters": {"_target_": FILTERS, **(filters or {})},
            "order": {"_target_": ORDER, **(order or {})},
            "split": {"_target_": LEAVE_ONE_OUT, **(split or {})},
        }
        said: list[str] = []
        facts = STAGE.build(
            StageContext(config=config, inputs={}, folder=folder, work=tmp_path, log=said.append, runtime=Runtime())
        )
        dataset = Dataset.load(folder)
        assert dataset.facts == json.loads(json.dumps(facts))
        return Prepared(dataset, pl.read_parquet(folder / "interactions.parquet"), "\n".join(said))

    return run


@pytest.fixture
def csv(tmp_path: Path) -> Callable[..., str]:
    """csv("user_id,item_id", "a,1", ...) -> path of a file with these lines."""
    number = iter(range(100))

    def write(*lines: str) -> str:
        path = tmp_path / f"table{next(number)}.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    return write
