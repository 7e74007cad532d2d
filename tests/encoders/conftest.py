from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrec.dataset import Sequences

WORDS = [
    "red",
    "blue",
    "green",
    "soap",
    "cream",
    "brush",
    "nail",
    "hair",
    "skin",
    "lotion",
    "oil",
    "gel",
    "spray",
    "mask",
    "wax",
]


def make_items(num_items: int, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "item_id": [f"item-{i:03}" for i in range(num_items)],
            "title": [" ".join(random.choice(WORDS, 4)) for _ in range(num_items)],
            "brand": [random.choice(["Acme", "Bolt", None]) for _ in range(num_items)],
            "categories": [["Beauty", str(random.choice(WORDS))] for _ in range(num_items)],
        },
        schema_overrides={"brand": pl.String},
    )


def make_train(num_items: int, num_users: int = 80, seed: int = 1) -> Sequences:
    """Random walks over items; the last four items of the catalogue never occur."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, 9, num_users)
    rows = [(random.integers(num_items) + random.integers(0, 4, n).cumsum()) % max(num_items - 4, 1) for n in lengths]
    flat = np.concatenate(rows).astype(np.int32) if len(rows) else np.zeros(0, np.int32)
    return Sequences(flat, np.concatenate([[0], lengths.cumsum()]).astype(np.int64))


@pytest.fixture
def items() -> pl.DataFrame:
    return make_items(60)


@pytest.fixture
def train() -> Sequences:
    return make_train(60)


@pytest.fixture(scope="session")
def sentence_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny sentence-transformers folder made here: no network."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    known = {word: number for number, word in enumerate(["[UNK]", *WORDS, "Acme", "Bolt", "Beauty"])}
    tokenizer = Tokenizer(WordLevel(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.random.default_rng(0).standard_normal((len(known), 24)).astype(np.float32)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)]).save(str(folder))
    return folder


@pytest.fixture
def external(tmp_path: Path, sentence_model: Path, items: pl.DataFrame) -> dict[str, dict[str, str]]:
    """Class name -> what a yaml leaves to the user, and caches in a place of the test."""
    vectors = np.random.default_rng(3).standard_normal((items.height + 1, 10)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors, allow_pickle=False)
    (tmp_path / "ids.json").write_text(json.dumps(["newcomer", *items["item_id"][::-1]]))
    return {
        "SentenceTransformerEncoder": {"model": str(sentence_model), "cache": str(tmp_path / "cache")},
        "Precomputed": {"path": str(tmp_path / "vectors.npy"), "ids": str(tmp_path / "ids.json")},
    }
