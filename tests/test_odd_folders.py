"""Folders whose names are patterns to some reader: they are names, to every one of ours."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small_bundle import GENERATORS, TINY

import genrec
from genrec.data.lib.files import read_table
from genrec.recommender.batch_lists import HistoryColumns, scan_histories

GLOBBING = {"read_parquet", "scan_parquet", "read_csv", "scan_csv"}  # take ``glob``; those below always take paths as patterns
PATTERNS = {"read_parquet_schema", "read_ipc", "scan_ipc", "read_ndjson", "scan_ndjson", "scan_lines", "read_lines"}
NAMES = ["数据 [1]", "a*b", "what?", "[a-z]", "x{1,2}"]


def _calls() -> list[Any]:
    root = Path(genrec.__file__).parent
    calls = []
    for file in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in GLOBBING | PATTERNS:
                calls.append(pytest.param(node, id=f"{file.relative_to(root)}:{node.lineno}"))
    return calls


@pytest.mark.parametrize("call", _calls())
def test_no_reader_takes_a_path_as_a_pattern(call: ast.Call) -> None:
    assert isinstance(call.func, ast.Attribute)
    told = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    given = ast.unparse(call.args[0])
    in_memory = given.startswith("io.BytesIO(") or given.endswith(".encode()") or given in ("file", "opened")
    assert in_memory or (call.func.attr in GLOBBING and told.get("glob") == "False"), ast.unparse(call)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "feather"])
def test_a_table(tmp_path: Path, name: str, kind: str) -> None:
    table = pl.DataFrame({"user_id": ["u"], "item_id": ["i"]})
    file = tmp_path / name / f"{name}.{kind}"
    file.parent.mkdir()
    {"csv": table.write_csv, "jsonl": table.write_ndjson, "parquet": table.write_parquet, "feather": table.write_ipc}[kind](
        file
    )
    assert read_table(file, columns=["user_id", "item_id"], required=["user_id"]).rows() == [("u", "i")]


@pytest.mark.slow
def test_a_run_its_bundle_and_its_lists(tmp_path: Path) -> None:
    settings = [*TINY, *GENERATORS["encdec"], "generator=encdec", "name=odd"]
    for name in NAMES[:2]:
        folder = tmp_path / name
        run = genrec.run(until="export", quiet=True, overrides=settings, **{"paths.runs": folder / "runs"})
        shutil.copytree(run.path / "bundle", folder / "bundle [2]")
        recommender = genrec.load(folder / "bundle [2]")
        recommender.add_items([{"item_id": "late", "title": "red soap"}])
        assert recommender.recommend([[]], k=3).height == 3


@pytest.mark.parametrize("name", NAMES)
def test_histories_of_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    for part in ("a", "b"):
        pl.DataFrame({"user_id": [part], "item_id": ["i"]}).write_parquet(tmp_path / name / f"{part} [0].parquet")
    assert scan_histories(tmp_path / name, HistoryColumns()).collect()["user_id"].to_list() == ["a", "b"]
