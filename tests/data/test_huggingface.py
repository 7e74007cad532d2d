"""data=huggingface: folders, files, splits, configurations; one line where there is no such data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import polars as pl
import pytest

from genrec.data import huggingface
from genrec.data.huggingface import HuggingFace
from genrec.data.lib.canonical import canonicalize
from genrec.errors import DataError

TRAIN = pl.DataFrame({"user_id": [1, 1, 2, 2], "item_id": ["b", "a", "c", "a"], "timestamp": [2, 1, 1, 2], "text": ["x"] * 4})
TEST = pl.DataFrame({"user_id": [1, 2], "item_id": ["c", "b"], "timestamp": [9, 9], "text": ["x"] * 2})
ITEMS = pl.DataFrame({"asin": ["a", "b", "c"], "title": ["Ant", "Bee", "Cat"]})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def write(path: Path, table: pl.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    {".parquet": table.write_parquet, ".jsonl": table.write_ndjson, ".csv": table.write_csv}[path.suffix](path)
    return path


def folder(path: Path, suffix: str) -> Path:
    write(path / "data" / f"train-00000-of-00001{suffix}", TRAIN)
    write(path / "data" / f"test-00000-of-00001{suffix}", TEST)
    return path


def pairs(raw: Any) -> list[tuple[str, str]]:
    return list(canonicalize(raw).interactions.select("user_id", "item_id").iter_rows())


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_a_folder_with_splits(suffix: str, tmp_path: Path) -> None:
    where = folder(tmp_path / "shop", suffix)
    both = canonicalize(HuggingFace(dataset=str(where)).load()).interactions
    assert both["split"].to_list() == ["train"] * 4 + ["test"] * 2
    assert both["timestamp"].to_list() == [2.0, 1.0, 1.0, 2.0, 9.0, 9.0]
    assert "text" not in both.columns
    assert pairs(HuggingFace(dataset=where, split="train").load()) == [("1", "b"), ("1", "a"), ("2", "c"), ("2", "a")]
    assert pairs(HuggingFace(dataset=where, split="test").load()) == [("1", "c"), ("2", "b")]
    assert pairs(HuggingFace(dataset=where, split="train[:1]").load()) == [("1", "b")]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_a_file_and_items_of_another(suffix: str, tmp_path: Path) -> None:
    file = write(tmp_path / f"train{suffix}", TRAIN.rename({"user_id": "who", "item_id": "asin"}))
    items = write(tmp_path / f"products{suffix}", ITEMS)
    raw = canonicalize(HuggingFace(dataset=file, user_id="who", item_id="asin", items=str(items)).load())
    assert list(raw.interactions.select("user_id", "item_id").row(0)) == ["1", "b"]
    assert raw.items is not None
    assert raw.items.rows() == [("a", "Ant"), ("b", "Bee"), ("c", "Cat")]


def test_items_of_another_configuration(tmp_path: Path) -> None:
    write(tmp_path / "shop" / "reviews" / "train.parquet", TRAIN)
    write(tmp_path / "shop" / "meta" / "full.parquet", ITEMS)
    (tmp_path / "shop" / "README.md").write_text(
        "---\nconfigs:\n- config_name: reviews\n  data_files: reviews/*.parquet\n- config_name: meta\n  data_files:\n"
        "  - split: full\n    path: meta/*.parquet\n---\n",
        encoding="utf-8",
    )
    raw = HuggingFace(
        dataset=tmp_path / "shop", config="reviews", items_config="meta", items_split="full", items_key="asin"
    ).load()
    assert raw.items is not None
    assert raw.items.columns == ["item_id", "title"]
    assert len(pairs(raw)) == 4
    with pytest.raises(
        DataError, match=r"data\.dataset: expected a data set that can be read, got .*shop.*; check data\.config"
    ):
        HuggingFace(dataset=tmp_path / "shop", config="nothing").load()


def test_what_the_library_saved(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict(TRAIN.to_dict(as_series=False))
    rows.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": rows, "validation": rows}).save_to_disk(tmp_path / "two")
    assert len(pairs(HuggingFace(dataset=tmp_path / "one").load())) == 4
    assert len(pairs(HuggingFace(dataset=tmp_path / "two").load())) == 8
    assert len(pairs(HuggingFace(dataset=tmp_path / "two", split="validation").load())) == 4


def test_users_with_lists(tmp_path: Path) -> None:
    table = pl.DataFrame({"user": ["u", "v"], "items": [[3, 1, 2], [2]], "timestamp": [[1, 2, 3], [4]]})
    raw = canonicalize(HuggingFace(dataset=write(tmp_path / "h.parquet", table), user_id="user", item_id="items").load())
    assert raw.interactions.select("user_id", "item_id", "timestamp", "position").rows() == [
        ("u", "3", 1.0, 0),
        ("u", "1", 2.0, 1),
        ("u", "2", 3.0, 2),
        ("v", "2", 4.0, 0),
    ]


def test_rows_come_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = pl.DataFrame({"user_id": [f"u{i % 7}" for i in range(1000)], "item_id": [f"i{i % 11}" for i in range(1000)]})
    file = write(tmp_path / "many.parquet", many)
    monkeypatch.setattr(huggingface, "BATCH", 64)
    assert pairs(HuggingFace(dataset=file).load()) == list(many.iter_rows())


def test_code_of_a_data_set_is_never_run(tmp_path: Path) -> None:
    where = folder(tmp_path / "shop", ".parquet")
    (where / "shop.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"scripts are no longer supported, but found shop\.py"):
        HuggingFace(dataset=where).load()
    assert not (tmp_path / "ran").exists()
