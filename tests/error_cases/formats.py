"""Messages of the readers of the field's formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import polars as pl

from error_cases import Case, Scene
from genrec.data.huggingface import HuggingFace
from genrec.errors import DataError

ROOMS = ["data/huggingface.py"]


def shop(folder: Path, name: str = "train", table: pl.DataFrame | None = None) -> Path:
    (folder / "shop").mkdir(exist_ok=True)
    table = pl.DataFrame({"user_id": ["u"], "item_id": ["a"]}) if table is None else table
    table.write_parquet(folder / "shop" / f"{name}.parquet")
    return folder / "shop"


def hub(table: pl.DataFrame | None = None, **settings: Any) -> Callable[[Scene], Any]:
    def trigger(scene: Scene) -> Any:
        scene.monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", scene.path / "cache")
        return HuggingFace(**({"dataset": shop(scene.path, table=table)} | settings)).load()

    return trigger


def offline(scene: Scene) -> Any:
    def refuse(*args: Any, **more: Any) -> Any:
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub")

    scene.monkeypatch.setattr(datasets, "load_dataset", refuse)
    return HuggingFace(dataset="owner/name").load()


def odd_splits(scene: Scene) -> Any:
    folder = shop(scene.path, "one")
    shop(scene.path, "two")
    files = "".join(f"  - split: {name}\n    path: {name}.parquet\n" for name in ("one", "two"))
    text = f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n"
    (folder / "README.md").write_text(text, encoding="utf-8")
    return hub(dataset=folder)(scene)


def broken(scene: Scene) -> Any:
    (scene.path / "x.jsonl").write_text('{"user_id": "a"}\n{broken\n', encoding="utf-8")
    return hub(dataset=scene.path / "x.jsonl")(scene)


def unknown_file(scene: Scene) -> Any:
    (scene.path / "x.xyz").write_text("?", encoding="utf-8")
    return hub(dataset=scene.path / "x.xyz")(scene)


UNEVEN = pl.DataFrame({"user_id": ["u"], "item_id": [["a", "b"]], "timestamp": [[1]]})

CASES = [
    Case("hub without network", DataError, "owner/name", offline),
    Case("no such folder", DataError, "no/such/folder", lambda scene: HuggingFace(dataset="./no/such/folder").load()),
    Case("file of another kind", DataError, "x.xyz", unknown_file),
    Case("no such split", DataError, "got training", hub(split="training")),
    Case("slice in the middle", DataError, "train[5:7]", hub(split="train[5:7]")),
    Case("splits that are no parts", DataError, "one, two", odd_splits),
    Case("no such column", DataError, "'customer'", hub(user_id="customer")),
    Case("no rows", DataError, "0 rows", hub(pl.DataFrame({"user_id": [], "item_id": []}))),
    Case("lists of two lengths", DataError, "timestamp", hub(UNEVEN)),
    Case("broken rows", DataError, "x.jsonl", broken),
]
