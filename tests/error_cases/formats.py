"""Messages of the readers of the field's formats."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import polars as pl
from small_evaluation import recommended, walks

from error_cases import Case, Scene
from genrec.data.by_column import ByColumn
from genrec.data.huggingface import HuggingFace
from genrec.data.lib.events import Events
from genrec.data.lib.files import read_table
from genrec.data.mind import Mind
from genrec.data.nested import NestedEvents
from genrec.data.samples import Samples
from genrec.data.sequences import SequenceFile
from genrec.data.tables import Tables
from genrec.errors import DataError
from genrec.evaluation.candidate_lists import read_candidates
from genrec.protocols import RawData
from genrec.types import Split


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


def put(folder: Path, files: dict[str, Any]) -> Path:
    """Writes files; returns the first."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content.write_parquet(path) if isinstance(content, pl.DataFrame) else path.write_bytes(content.encode())
    return folder / next(iter(files))


def read(files: dict[str, Any], where: str | None = None, **settings: Any) -> Callable[[Scene], Any]:
    """read_table of the first file, or of the folder or member ``where``."""
    return lambda scene: read_table(
        scene.path / where if put(scene.path, files) and where else put(scene.path, files), **settings
    )


def source(kind: Any, files: dict[str, Any], **settings: Any) -> Callable[[Scene], Any]:
    """``load`` of a source of the first file; settings that name files are paths in the scene."""

    def trigger(scene: Scene) -> Any:
        first = put(scene.path, files)
        paths = {key: scene.path / value if value in files else value for key, value in settings.items()}
        return kind(interactions=first, **paths).load()

    return trigger


def zipped(members: dict[str, str], member: str | None = None) -> Callable[[Scene], Any]:
    def trigger(scene: Scene) -> Any:
        with zipfile.ZipFile(scene.path / "a.zip", "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return read_table(scene.path / "a.zip" / member if member else scene.path / "a.zip")

    return trigger


def parted(rows: list[tuple[Any, ...]], **settings: Any) -> Callable[[Scene], Any]:
    columns = ["user_id", "item_id", "timestamp", "split"][: len(rows[0])]

    def trigger(scene: Scene) -> Any:
        raw = RawData(interactions=pl.DataFrame(rows, schema=columns, orient="row").with_row_index("row"), items=None)
        splitter = ByColumn(**settings)
        events, _ = splitter.ordered(Events.of(raw), "file.csv")
        return splitter.keep(events.users.with_columns(num_held_out=pl.Series([0] * events.users.height)))

    return trigger


def mind(behaviors: str) -> Callable[[Scene], Any]:
    return lambda scene: Mind(folder=put(scene.path, {"behaviors.tsv": behaviors, "news.tsv": "N1\ta\n"}).parent).load()


def candidates(spoil: Callable[[pl.DataFrame], pl.DataFrame], splits: list[Split]) -> Callable[[Scene], Any]:
    def trigger(scene: Scene) -> Any:
        dataset = walks(users=5)
        lists = spoil(recommended(dataset).select("split", "user_id", "item_id"))
        lists.write_csv(scene.path / "c.csv")
        return read_candidates(scene.path / "c.csv", dataset, splits, lambda line: None)

    return trigger


def other_lists(scene: Scene) -> Any:
    dataset = walks(users=5)
    lists = recommended(dataset)
    lists.with_columns(item_id=pl.lit("i1")).select("split", "user_id", "item_id").write_csv(scene.path / "c.csv")
    chosen = read_candidates(scene.path / "c.csv", dataset, ["validation", "test"], lambda line: None)
    assert chosen is not None
    return chosen.check(lists.filter(pl.col("item_id") != "i1"), dataset, "lists.csv")


ROW = pl.DataFrame({"user_id": ["u"], "item_id": ["a"]})
FINE = "user_id,item_id\nu,a\n"
HISTORY = "user_id,history,target\n"

CASES = [
    Case("json lines without a line", DataError, "only empty lines", read({"x.jsonl": "\n\n"})),
    Case("json lines that no column fits", DataError, "failed to determine", read({"x.jsonl": '{"a": 1}\n{"a": [2]}\n'})),
    Case("a pickle", DataError, "a .pkl file", read({"x.pkl": "?"})),
    Case("a spreadsheet", DataError, "a .xlsx file", read({"x.xlsx": "?"})),
    Case("TFRecords", DataError, "a .tfrecord file", read({"x.tfrecord.gz": "?"})),
    Case("an archive", DataError, "a .tar file", read({"x.tar.gz": "?"})),
    Case("zstandard", DataError, "zstd -d x.csv.zst", read({"x.csv.zst": "?"})),
    Case("folder of nothing", DataError, "an empty folder", read({"f/_SUCCESS": "?"}, "f")),
    Case("folder of notes", DataError, "notes.zzz", read({"f/notes.zzz": "?"}, "f")),
    Case("folder of two kinds", DataError, ".csv and .parquet", read({"f/a.csv": FINE, "f/b.parquet": ROW}, "f")),
    Case("parts with other columns", DataError, "u2, b", read({"f/a.csv": FINE, "f/b.csv": "u2,b\nu3,c\n"}, "f")),
    Case("parts without rows", DataError, "none in 1 parts", read({"f/a.csv": "user_id,item_id\n"}, "f")),
    Case("folder of a split", DataError, "test.csv, train.csv", read({"f/train.csv": FINE, "f/test.csv": FINE}, "f")),
    Case(
        "folder of a split in pieces", DataError, "tr-1.csv", read({f"f/{x}.csv": FINE for x in ("tr-1", "tr-2", "te-1")}, "f")
    ),
    Case("folder in a folder", DataError, "'more'", read({"f/more/a.csv": FINE}, "f")),
    Case(
        "parts of other types",
        DataError,
        "f:",
        read({"f/a.parquet": ROW, "f/b.parquet": ROW.with_columns(item_id=[["x"]])}, "f"),
    ),
    Case("zip of two tables", DataError, "a.csv, b.csv", zipped({"a.csv": FINE, "b.csv": FINE})),
    Case("zip of none", DataError, "picture.png", zipped({"picture.png": "?"})),
    Case("zip of a pickle", DataError, "a .pkl file", zipped({"x.pkl": "?"})),
    Case("zip without the member", DataError, "c.csv", zipped({"a.csv": FINE}, "c.csv")),
    Case("zip with a faulty table", DataError, "a.zip/a.csv", zipped({"a.csv": "user_id,item_id\n"})),
    Case("no zip", DataError, "not a zip", read({"x.zip": "nothing"})),
    Case(
        "lists as ids",
        DataError,
        "'a1 a2 a3'",
        source(Tables, {"x.csv": "user_id,item_id\nu,a1 a2 a3\nv,a2 a3 a1\nw,a3 a1 a2\n"}),
    ),
    Case("broken document", DataError, "' oops'", read({"x.json": "{\n  oops\n}"})),
    Case("document without records", DataError, "[1, 2]", read({"x.json": "[1, 2]"})),
    Case("broken literal", DataError, "{'a': open()}", read({"x.json": "{'a': 1}\n{'a': open()}\n"})),
    Case("histories as a table", DataError, "2 lists", source(Tables, {"x.json": '{"u": [1], "v": [2]}'})),
    Case(
        "user again in rows",
        DataError,
        "user 'u' again",
        source(SequenceFile, {"x.jsonl": '{"user_id":"u","item_id":[1]}\n' * 2}),
    ),
    Case("histories without items", DataError, "none", source(SequenceFile, {"x.json": '{"u": []}'})),
    Case(
        "times of another length",
        DataError,
        "1 for 2 items",
        source(SequenceFile, {"x.jsonl": '{"user_id":"u","item_id":[1,2],"t":[1]}\n'}, timestamp="t"),
    ),
    Case("pairs as histories", DataError, "every line is a pair", source(SequenceFile, {"x.txt": "1 2\n1 3\n"})),
    Case("user alone", DataError, "'2'", source(SequenceFile, {"x.txt": "1 2\n2\n"})),
    Case("brackets in histories", DataError, "'[2,'", source(SequenceFile, {"x.txt": "1 [2, 3]\n"})),
    Case("marks at the end", DataError, "'-2'", source(SequenceFile, {"x.txt": "1 5 -2\n2 6 -2\n3 7 -2\n"})),
    Case("no list in a field", DataError, "'[1, {}]'", source(Samples, {"x.csv": HISTORY + 'u,"[1, {}]",2\n'})),
    Case("history of numbers", DataError, "Int64", source(Samples, {"x.csv": HISTORY + "u,5,2\n"})),
    Case("history of floats", DataError, "Float64", source(Samples, {"x.jsonl": '{"history": [1.5], "target": 2}\n'})),
    Case(
        "samples that do not continue",
        DataError,
        "7 8 -> 9",
        source(Samples, {"x.csv": HISTORY + 'u,"[1, 2]",3\nu,"[7, 8]",9\n'}),
    ),
    Case("no history column", DataError, "user_id, when", source(Samples, {"x.csv": "user_id,when\nu,5\n"})),
    Case("no such column", DataError, "'before'", source(Samples, {"x.csv": HISTORY + "u,[1],2\n"}, history="before")),
    Case(
        "parts twice",
        DataError,
        "'split'",
        source(Tables, {"x.csv": "user_id,item_id,split\nu,a,train\n", "y.csv": FINE}, test="y.csv"),
    ),
    Case(
        "no nested events", DataError, "user_id, item_id", source(NestedEvents, {"x.jsonl": '{"user_id":"u","item_id":"a"}\n'})
    ),
    Case(
        "no such events",
        DataError,
        "'clicks'",
        source(NestedEvents, {"x.jsonl": '{"session":1,"events":[{"aid":1}]}\n'}, events="clicks"),
    ),
    Case("split=column without one", DataError, "none", parted([("u", "a", 1.0)])),
    Case("unknown part", DataError, "'hold'", parted([("u", "a", 1.0, "hold")])),
    Case("late training event", DataError, "9 (1 such rows)", parted([("u", "a", 1.0, "test"), ("u", "b", 9.0, "train")])),
    Case("user without targets", DataError, "user 'u'", parted([("u", "a", 1.0, "train")], short_users="error")),
    Case("MIND time", DataError, "'yesterday'", mind("1\tU\tyesterday\tN1\tN1-1\n")),
    Case("MIND impression", DataError, "'N1'", mind("1\tU\t11/11/2019 9:05:58 AM\tN1\tN1\n")),
    Case(
        "candidates of an unknown split",
        DataError,
        "tset",
        candidates(lambda table: table.with_columns(split=pl.lit("tset")), ["test"]),
    ),
    Case(
        "candidates of strangers",
        DataError,
        "'zz'",
        candidates(lambda table: table.with_columns(item_id=pl.lit("zz")), ["test"]),
    ),
    Case(
        "candidates for the test part only",
        DataError,
        "'u0'",
        candidates(lambda table: table.drop("split"), ["validation", "test"]),
    ),
    Case("lists of no candidates", DataError, "item i", other_lists),
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
