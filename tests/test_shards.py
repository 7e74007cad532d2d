"""`genrec recommend BUNDLE HISTORIES OUT`: the lists of all users, however the work is cut and whenever it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from small_shop import shop

from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.recommender.batch_lists import EMPTY_REQUEST, HistoryColumns, recommend_shards
from genrec.recommender.recommender import Recommender
from genrec.recommender.requests import RecommendRequest

REQUEST = RecommendRequest(histories=[[]], k=5, filter="even == true", steer={"even == true": 0.5})
ROWS = 60  # of a shard


def table(num_users: int = 60, seed: int = 0) -> pl.DataFrame:
    """Rows of users in any order; of some users an item that the shop does not have."""
    random = np.random.default_rng(seed)
    users = random.integers(num_users, size=5 * num_users)
    items = [f"i{item}" for item in random.integers(41, size=len(users))]
    return pl.DataFrame({"user_id": users, "item_id": items, "timestamp": random.permutation(len(users)), "price": 1.0})


@pytest.fixture
def histories(tmp_path: Path) -> Path:
    file = tmp_path / "histories.parquet"
    table().write_parquet(file)
    return file


def made(histories: Path, out: Path, request: RecommendRequest = REQUEST, **more: Any) -> list[str]:
    said: list[str] = []
    settings = {"bundle": "b1", "shard_rows": ROWS} | more
    recommend_shards(shop(40), histories, out, request, **settings, log=said.append)
    return said


def lists(out: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(part) for part in sorted(out.glob("part-*.parquet"))]).sort("user_id", "rank")


def parts(out: Path) -> dict[str, bytes]:
    return {part.name: part.read_bytes() for part in out.glob("part-*.parquet")}


@pytest.mark.parametrize("chunk", [37, 2_000_000])
@pytest.mark.parametrize("as_folder", [False, True])
def test_lists_are_those_of_the_recommender(
    tmp_path: Path, histories: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, as_folder: bool
) -> None:
    monkeypatch.setattr("genrec.recommender.batch_lists._CHUNK", chunk)
    if as_folder:
        (folder := tmp_path / "many").mkdir()
        for number, rows in enumerate(table().iter_slices(70)):
            rows.write_parquet(folder / f"{number}.parquet")
        histories = folder
    said = made(histories, tmp_path / "out")
    with pytest.warns(UserWarning, match="'i40'"):
        expected = Recommender(shop(40)).recommend(table(), 5, filter=REQUEST.filter, steer=REQUEST.steer)
    assert_frame_equal(lists(tmp_path / "out"), expected.sort("user_id", "rank"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert len(manifest["files"]) == len(parts(tmp_path / "out")) == 5
    assert manifest["users"] == table()["user_id"].n_unique()
    assert manifest["unknown"] == table().filter(item_id="i40").height > 0
    assert sum(line.startswith("shard ") and "users/s, 0:00:0" in line for line in said) == 5
    assert {path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."} == {
        *("plan.json", "manifest.json"),
        *manifest["files"],
    }
    assert not (tmp_path / "out" / ".rows").exists()


KILLED = """
import sys, time
from pathlib import Path
from small_shop import shop
from test_shards import REQUEST, ROWS
from genrec.recommender.batch_lists import recommend_shards
def say(line):
    print(line, flush=True)
    time.sleep(0.05)
recommend_shards(shop(40), Path(sys.argv[1]), Path(sys.argv[2]), REQUEST, shard_rows=ROWS, bundle="b1", log=say)
"""


@pytest.mark.parametrize("kill_after", [1, 3, 5])
def test_a_kill_loses_at_most_one_shard(tmp_path: Path, histories: Path, kill_after: int) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    made(histories, whole)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(histories), str(out)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    done = 0
    for line in process.stdout:
        done += line.startswith("shard ")
        if done == kill_after:
            break
    time.sleep(0.04 * np.random.default_rng(kill_after).random())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = sum(line.startswith("shard ") for line in made(histories, out))
    assert again <= 5 - kill_after
    assert parts(out) == parts(whole)
    assert (out / "manifest.json").read_bytes() == (whole / "manifest.json").read_bytes()
    assert made(histories, out) == [f"{out}: up to date"]


def test_killed_while_rows_are_gathered(tmp_path: Path, histories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr("genrec.recommender.batch_lists._CHUNK", 37)

    def interrupt(*arguments: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pl.DataFrame, "partition_by", interrupt)
        with pytest.raises(KeyboardInterrupt):
            made(histories, out)
    made(histories, out)
    made(histories, tmp_path / "whole")
    assert parts(out) == parts(tmp_path / "whole")


def test_a_part_that_was_cut_or_lost_is_made_again(tmp_path: Path, histories: Path) -> None:
    out = tmp_path / "out"
    made(histories, out)
    whole = parts(out)
    (out / "part-00001.parquet").write_bytes(whole["part-00001.parquet"][:-9])
    (out / "part-00003.parquet").unlink()
    assert sum(line.startswith("shard ") for line in made(histories, out)) == 2
    assert parts(out) == whole


@pytest.mark.parametrize("what", ["settings", "bundle", "histories"])
def test_what_was_begun_with_something_else_is_refused_or_thrown_away(tmp_path: Path, histories: Path, what: str) -> None:
    out, request, bundle = tmp_path / "out", REQUEST, "b1"
    made(histories, out)
    if what == "settings":
        request = replace(EMPTY_REQUEST, k=6)
    elif what == "bundle":
        bundle = "b2"
    else:
        table(50, seed=1).write_parquet(histories)
    with pytest.raises(ConfigError, match={"settings": "k 5.*got 6"}.get(what, f"by {what} ")):
        made(histories, out, request, bundle=bundle)
    made(histories, out, request, bundle=bundle, anew=True)
    made(histories, tmp_path / "fresh", request, bundle=bundle)
    assert parts(out) == parts(tmp_path / "fresh")


def test_edges(tmp_path: Path) -> None:
    histories = tmp_path / "h.parquet"
    pl.DataFrame(schema={"user_id": pl.String, "item_id": pl.String}).write_parquet(histories)
    made(histories, tmp_path / "none")
    assert lists(tmp_path / "none").schema == {
        "user_id": pl.String,
        "rank": pl.Int64,
        "item_id": pl.String,
        "score": pl.Float32,
    }
    pl.DataFrame({"user_id": ["u"] * 9, "item_id": [None] * 9}).write_parquet(histories)  # eight shards of nobody
    made(histories, tmp_path / "one", replace(EMPTY_REQUEST, k=3), shard_rows=1)
    assert lists(tmp_path / "one").drop("user_id").equals(Recommender(shop(40)).recommend([[]], 3).drop("history"))
    assert len(parts(tmp_path / "one")) == 9


SHOP = HistoryColumns(user="customer", item="sku", timestamp="ts", drop_missing=True)


def _semicolons(frame: pl.DataFrame, folder: Path) -> Path:
    frame.with_columns(pl.col("ts").dt.strftime("%m/%d/%Y %H:%M:%S")).write_csv(folder / "h.csv", separator=";")
    return folder / "h.csv"


def _tabs(frame: pl.DataFrame, folder: Path) -> Path:
    frame.with_columns(pl.col("ts").dt.epoch("s")).write_csv(folder / "h.tsv", separator="\t")
    return folder / "h.tsv"


def _json_lines(frame: pl.DataFrame, folder: Path) -> Path:
    frame.with_columns(pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%S")).write_ndjson(folder / "h.jsonl")
    return folder / "h.jsonl"


def _feather(frame: pl.DataFrame, folder: Path) -> Path:
    frame.write_ipc(folder / "h.feather")
    return folder / "h.feather"


def _csv_parts(frame: pl.DataFrame, folder: Path) -> Path:
    (parts := folder / "parts").mkdir()
    for place, rows in enumerate((frame.head(100), frame.slice(100))):
        rows.with_columns(pl.col("ts").cast(pl.String)).write_csv(parts / f"part-{place}.csv")
    return parts


def _parquet(frame: pl.DataFrame, folder: Path) -> Path:
    frame.write_parquet(folder / "h [1]*.parquet")
    return folder / "h [1]*.parquet"


def _parquet_parts(frame: pl.DataFrame, folder: Path) -> Path:
    (parts := folder / "all [2]").mkdir()
    frame.head(70).write_parquet(parts / "a [1].parquet")
    frame.slice(70).write_parquet(parts / "b.parquet")
    return parts


@pytest.mark.parametrize("written", [_semicolons, _tabs, _json_lines, _feather, _csv_parts, _parquet, _parquet_parts])
def test_any_table_with_any_names_is_read(tmp_path: Path, histories: Path, written: Any) -> None:
    seconds = pl.from_epoch(1_735_700_000 + 86_400 * pl.col("timestamp"), "s").alias("ts")
    frame = table().select(pl.col("user_id").cast(pl.String).alias("customer"), pl.col("item_id").alias("sku"), seconds)
    table().with_columns(pl.col("user_id").cast(pl.String)).write_parquet(histories)
    made(histories, tmp_path / "long")
    gaps = [frame.head(2).with_columns(pl.lit(None, frame.schema[name]).alias(name)) for name in ("customer", "ts")]
    made(written(pl.concat([frame, *gaps]), tmp_path), tmp_path / "out", columns=SHOP)
    assert_frame_equal(lists(tmp_path / "out"), lists(tmp_path / "long"))


@pytest.mark.parametrize(
    ("text", "columns", "told"),
    [
        ("customer;sku\na;i1\n", HistoryColumns(), r"'user_id', got columns customer, sku; .* \(--user COLUMN\)"),
        ("customer;sku\na;i1\n", HistoryColumns(user="customer"), r"'item_id', got .* \(--item COLUMN\)"),
        ("user_id,item_id\na,i1\n", HistoryColumns(timestamp="when"), r"'when', got .* \(--timestamp COLUMN\)"),
        ("user_id,item_id\na,i1\n", HistoryColumns(position="nr"), r"'nr', got .* \(--position COLUMN\)"),
        ("user_id,item_id\na,i1\n,i2\n,i3\n", HistoryColumns(), r"row 2, column user_id: .* got none \(and 1 more such rows\)"),
        ("user_id,item_id,ts\na,i1,5\na,i2,\n", HistoryColumns(timestamp="ts"), r"row 2, column ts: .* --drop-missing"),
        ("user_id,item_id,ts\na,i1,monday\n", HistoryColumns(timestamp="ts"), r"row 1, column ts: .*'monday'"),
    ],
)
def test_a_table_that_does_not_fit_begins_nothing(tmp_path: Path, text: str, columns: HistoryColumns, told: str) -> None:
    (file := tmp_path / "h.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=told):
        made(file, tmp_path / "out", columns=columns)
    assert not (tmp_path / "out" / "plan.json").exists()  # so that the corrected command may take the same folder


def test_refusals(tmp_path: Path, histories: Path) -> None:
    (strange := tmp_path / "strange").mkdir()
    (strange / "notes.txt").touch()
    with pytest.raises(ConfigError, match=r"empty folder, got notes\.txt"):
        made(histories, strange)
    with pytest.raises(DataError, match="got nothing there"):
        made(tmp_path / "nowhere.parquet", tmp_path / "out")
    (text := tmp_path / "h.parquet").write_text("user_id,item_id\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"h\.parquet: expected a parquet file, got File out of spec"):
        made(text, tmp_path / "out")
    with pytest.raises(ConfigError, match="got prise"):
        made(histories, tmp_path / "out1", replace(EMPTY_REQUEST, filter="prise < 3"))
    assert not (tmp_path / "out1" / "plan.json").exists()
    pl.DataFrame({"user_id": ["u", None], "item_id": ["a", "b"]}).write_parquet(histories)
    with pytest.raises(DataError, match=r"row 2, column user_id: expected a value in every row, got none; give --drop-missing"):
        made(histories, tmp_path / "out2")

    def meanwhile(line: str) -> None:
        with pytest.raises(ArtifactError, match="another process"):
            made(histories, tmp_path / "out3")

    table().write_parquet(histories)
    recommend_shards(shop(40), histories, tmp_path / "out3", REQUEST, bundle="b1", log=meanwhile)
