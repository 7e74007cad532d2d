"""Messages of the encoders of text, of vectors computed elsewhere and of what is joined of several."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors
from small_world import ring

from error_cases import Case, Scene
from genrec.core.dataset import Sequences
from genrec.encoders.concat import Concat
from genrec.encoders.lib.item_text import item_texts
from genrec.encoders.precomputed import Precomputed
from genrec.encoders.sentence_transformer import SentenceTransformerEncoder
from genrec.encoders.tfidf_svd import TfidfSVD
from genrec.errors import ConfigError, DataError
from genrec.stages import embed

Trigger = Callable[[Scene], Any]
NOBODY = Sequences(np.zeros(0, np.int32), np.zeros(1, np.int64))
ITEMS = pl.DataFrame({"item_id": ["a", "b"], "title": ["?", "!"]})


def write(path: Path, content: Any) -> Path:
    """Writes vectors, ids or bytes in the format of the suffix."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".parquet":
        pl.DataFrame(content).write_parquet(path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(content), encoding="utf-8")
    elif path.suffix == ".npy":
        np.save(path, np.asarray(content))
    else:
        save_file(content, path)
    return path


def read(vectors: Any, name: str = "v.parquet", ids: Any = None, ids_name: str = "ids.json", **settings: Any) -> Trigger:
    """Fits the encoder to a file of vectors, and encodes items a and b."""

    def trigger(scene: Scene) -> Any:
        path = write(scene.path / name, vectors)
        ids_path = None if ids is None else write(scene.path / ids_name, ids)
        encoder = Precomputed(path=path, ids=ids_path, **settings)
        encoder.fit(ITEMS, NOBODY)
        return encoder.encode(ITEMS)

    return trigger


def table(*vectors: Any, ids: tuple[Any, ...] = ("a", "b")) -> Trigger:
    return read({"item_id": ids, "vector": list(vectors)})


def in_bfloat16(scene: Scene) -> Any:
    save_tensors({"vector": torch.zeros(2, 3, dtype=torch.bfloat16)}, scene.path / "v.safetensors")
    return Precomputed(path=scene.path / "v.safetensors", ids=write(scene.path / "ids.json", ["a", "b"])).fit(ITEMS, NOBODY)


def fit(encoder: Any, items: pl.DataFrame = ITEMS) -> Trigger:
    return lambda scene: encoder.fit(items, NOBODY)


def another_model(scene: Scene) -> Any:
    for name in ("one", "two"):
        (scene.path / name).mkdir()
        (scene.path / name / "config.json").write_text(json.dumps(name), encoding="utf-8")
    SentenceTransformerEncoder(model=scene.path / "one", columns=["title"]).save(scene.path)
    return SentenceTransformerEncoder(model=scene.path / "two").restore(scene.path)


def no_model(scene: Scene) -> Any:
    encoder = SentenceTransformerEncoder(model="/no/model", columns=["title"], cache=None)
    encoder.fit(ITEMS, NOBODY)
    return encoder.encode(ITEMS)


class Nothing:
    """An encoder whose vectors are no numbers."""

    def fit(self, items: pl.DataFrame, train: Sequences) -> None:
        pass

    def encode(self, items: pl.DataFrame) -> np.ndarray:
        return np.full((items.height, 2), np.nan, np.float32)

    def present(self, items: pl.DataFrame) -> np.ndarray:
        return np.ones(items.height, bool)

    def save(self, folder: Path) -> None:
        pass


def embedded(scene: Scene) -> Any:
    """Runs the stage with an encoder of nothing."""
    dataset = scene.path / "dataset"
    dataset.mkdir()
    ring(num_items=3, num_users=4).save(dataset)
    scene.monkeypatch.setattr(embed, "instantiate", lambda node, where: Nothing())
    (scene.path / "encoder").mkdir()
    context = SimpleNamespace(
        inputs={"dataset": SimpleNamespace(path=dataset)}, config={"encoder": {}}, folder=scene.path / "encoder", log=print
    )
    return embed.build(context)  # type: ignore[arg-type]


TWO = np.eye(2, dtype=np.float32)

CASES = [
    # computed elsewhere
    Case("vectors in a text file", ConfigError, "got vectors.txt", lambda scene: Precomputed(path=Path("vectors.txt"))),
    Case("rows of no ids", ConfigError, "row of v.npy, got nothing", lambda scene: Precomputed(path=Path("v.npy"))),
    Case("a file of noise", DataError, "v.parquet: expected a readable file of vectors, got parquet:", read(b"noise")),
    Case("bfloat16", DataError, "got data type 'bfloat16' not understood", in_bfloat16),
    Case("no ids in the table", DataError, "got columns id, vector; rename", read({"id": ["a"], "vector": [[1.0]]})),
    Case("no such column", DataError, "'image', got columns item_id", read({"item_id": ["a"]}, column="image")),
    Case("no such tensor", DataError, "'vector', got tensors text", read({"text": TWO}, "v.safetensors", ["a", "b"])),
    Case("prices as vectors", DataError, "column vector: expected lists of numbers, got Float64", table(1.0, 2.0)),
    Case("vectors of two lengths", DataError, "got 2 numbers for item b, 1 for a", table([1.0], [1.0, 2.0])),
    Case("a row without vector", DataError, "got none for item b", table([1.0], None)),
    Case("no ids file", DataError, "ids.json: expected the item id of each vector", read(TWO, "v.npy", b"[")),
    Case("ids of no list", DataError, "ids.json: expected a list of item ids, got {'a': 0}", read(TWO, "v.npy", {"a": 0})),
    Case("fewer ids than rows", DataError, "each of 1 ids, got float32 of shape (2, 2)", read(TWO, "v.npy", ["a"])),
    Case("words as vectors", DataError, "got <U1 of shape (2, 1)", read([["x"], ["y"]], "v.npy", ["a", "b"])),
    Case("a row without id", DataError, "got None in row 2", table([1.0], [2.0], ids=("a", None))),
    Case("an id twice", DataError, "got a twice", table([1.0], [2.0], ids=("a", "a"))),
    Case("a vector of no number", DataError, "item b: expected finite numbers, got inf", table([1.0], [np.inf])),
    Case("an item without vector", DataError, "none for 1 items, b among them", table([1.0], ids=("a",))),
    Case(
        "vectors of other items",
        DataError,
        "'z' and others, of no item",
        read({"item_id": ["z"], "vector": [[1.0]]}, missing="mean"),
    ),
    # text
    Case("texts without words", DataError, "items: columns title: expected words, got none in 2 texts", fit(TfidfSVD())),
    Case("no text column", ConfigError, "got ['name']", fit(TfidfSVD(columns=["name"]))),
    Case("new items without text", DataError, "got no column title", lambda scene: item_texts(ITEMS.drop("title"), ["title"])),
    Case("no such text model", ConfigError, "got /no/model (", no_model),
    Case("fitted with another text model", DataError, "two with other content", another_model),
    # joined
    Case("no sources", ConfigError, "got []", lambda scene: Concat(sources={})),
    Case(
        "a weight of no source",
        ConfigError,
        "got txt; did you mean text?",
        lambda scene: Concat(sources={"text": TfidfSVD()}, weights={"txt": 2}),
    ),
    Case("vectors of no numbers", DataError, "vectors item, item i0: expected finite numbers, got nan", embedded),
]
