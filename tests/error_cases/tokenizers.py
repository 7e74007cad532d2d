"""Messages of the tokenizers that this table covers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from error_cases import Case, Scene
from genrec.core.dataset import Sequences
from genrec.core.sids import SIDTable
from genrec.errors import ConfigError, DataError
from genrec.protocols import CollisionContext, TokenizerInputs
from genrec.tokenizers.anchored_rq_kmeans import AnchoredRQKMeans
from genrec.tokenizers.category_tree import CategoryTree
from genrec.tokenizers.collision.append_level import AppendLevel
from genrec.tokenizers.collision.reassign_last import ReassignLast
from genrec.tokenizers.letter import Letter
from genrec.tokenizers.mpq import MPQ
from genrec.tokenizers.opq import OPQ
from genrec.tokenizers.progressive_fusion import ProgressiveFusion
from genrec.tokenizers.published import Published
from genrec.tokenizers.random_codes import RandomCodes
from genrec.tokenizers.residual_vq import ResidualVQ
from genrec.tokenizers.rqvae import RQVAE
from genrec.tokenizers.sequential import Sequential


def items(*names: str, vectors: np.ndarray | None = None) -> TokenizerInputs:
    """A small catalogue without histories; three dimensions unless given."""
    nobody = Sequences(np.zeros(0, np.int32), np.zeros(1, np.int64))
    vectors = np.zeros((len(names), 3), np.float32) if vectors is None else vectors
    return TokenizerInputs({"item": vectors}, pl.DataFrame({"item_id": names}, schema={"item_id": pl.String}), nobody)


def fit(tokenizer: Any, inputs: TokenizerInputs) -> Callable[[Scene], Any]:
    return lambda scene: tokenizer.fit(inputs)


def later(scene: Scene) -> Any:
    tokenizer = Sequential()
    tokenizer.fit(items("a", "b"))
    return tokenizer.encode(items("b", "new_item"))


def published(told: object, **settings: Any) -> Callable[[Scene], Any]:
    """Codes from a json file with this content, for two items."""

    def trigger(scene: Scene) -> Any:
        file = scene.path / "codes.json"
        file.write_text(json.dumps(told), encoding="utf-8")
        return Published(path=file, **settings).fit(items("a", "b"))

    return trigger


def anchored(codes: list[list[int]], *names: str, **settings: Any) -> Callable[[Scene], Any]:
    """Fitted to items a and b from the IDs of an earlier run."""

    def trigger(scene: Scene) -> Any:
        SIDTable(np.array(codes), (9,) * len(codes[0])).save(scene.path, names)
        return AnchoredRQKMeans(anchor=scene.path, **settings).fit(items("a", "b"))

    return trigger


def grouped(**changes: int) -> Any:
    """Two groups, which four levels and 64 dimensions suit."""
    return ResidualVQ.check_settings(**{"groups": 2, "num_levels": 4, "latent_dim": 64} | changes)


def resolve(policy: Any, codes: list[list[int]], *sizes: int) -> Callable[[Scene], Any]:
    """Gives the items of a catalogue IDs from their codes."""
    context = CollisionContext(pl.Series([f"i{item}" for item in range(len(codes))]), np.zeros(len(codes), np.int64))
    return lambda scene: policy.resolve(np.array(codes), sizes, context)


def diverging(scene: Scene) -> Any:
    inputs = items("a", "b", vectors=np.eye(2, 3, dtype=np.float32))
    inputs = TokenizerInputs(dict(inputs.embeddings) | {"collaborative": np.eye(2, 3, dtype=np.float32)}, inputs.items, PAIR)
    return ProgressiveFusion(lr=1e30, steps=9, num_levels=1, codebook_size=2).fit(inputs)


PAIR = Sequences(np.array([0, 1, 0, 1], np.int32), np.array([0, 4]))

CASES = [
    Case(
        "many items of one ID", DataError, "got 3 items, i0 among them", resolve(AppendLevel(max_group=2), [[0, 0]] * 3, 4, 4)
    ),
    Case("no room below a prefix", DataError, "sids (): expected at most 2 items", resolve(ReassignLast(), [[0]] * 3, 2)),
    Case("an adapter that diverges", DataError, "tokenizer: expected a finite loss, got nan", diverging),
    Case("number too small", ConfigError, "got 0", lambda scene: RandomCodes(num_levels=0)),
    Case("no items", DataError, "0 rows", fit(Sequential(), items())),
    Case("unseen item", DataError, "new_item", later),
    Case("more blocks than dimensions", ConfigError, "got 4", fit(OPQ(num_levels=4), items("a", "b"))),
    Case("more experts than dimensions", ConfigError, "got 4", fit(MPQ(num_levels=4), items("a", "b"))),
    Case("no category column", ConfigError, "genres", fit(CategoryTree(column="genres"), items("a"))),
    Case("no such key column", ConfigError, "asin", published({"a": [1]}, key="asin")),
    Case("not a file of codes", DataError, "'a'", published({"a": [1]}, key_offset=1)),
    Case("item without codes", DataError, "none for 1, b among them", published({"a": [1]})),
    Case("published twice", DataError, "1 again", published({"0": [1], "00": [2]}, key_offset=1)),
    Case("published with other levels", DataError, "[3]", published({"a": [1, 2], "b": [3]})),
    Case("published without numbers", DataError, "['<a_1>', -2]", published({"a": ["<a_1>", -2]})),
    Case("no anchor", DataError, "No such file", fit(AnchoredRQKMeans(anchor=Path("gone.parquet")), items("a"))),
    Case("anchor of fewer levels", DataError, "got 1 levels, codes up to 7", anchored([[7]], "a", num_levels=2)),
    Case("anchor of other items", DataError, "none of 2, such as a", anchored([[7]], "z", num_levels=1)),
    Case("no such source", ConfigError, "image", fit(OPQ(source="image"), items("a"))),
    Case("no collaborative vectors", ConfigError, "plays", fit(Letter(collaborative="plays"), items("a"))),
    Case("training diverges", DataError, "got nan", fit(RQVAE(lr=1e20, steps=5), items("a", "b", vectors=np.eye(2, 3)))),
    Case("no vectors", DataError, "(0, 3)", fit(OPQ(), items())),
    Case("levels that groups cannot share", ConfigError, "got 3", lambda scene: grouped(num_levels=3)),
    Case("dimensions that groups cannot share", ConfigError, "got 63", lambda scene: grouped(latent_dim=63)),
    Case("not a number", DataError, "nan", fit(OPQ(), items("a", vectors=np.array([[0, np.nan, 0]], np.float32)))),
]
