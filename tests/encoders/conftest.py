from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrec.core.dataset import Sequences
from genrec.testing.worlds import WORDS, make_items, make_train


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


@pytest.fixture(scope="session")
def image_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP folder with random weights."""
    import torch
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    folder = tmp_path_factory.mktemp("models") / "clip"
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**tower, "vocab_size": 50, "max_position_embeddings": 8, "bos_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text, vision_config={**tower, "image_size": 16, "patch_size": 8}, projection_dim=12)
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 0.png ... 59.png, no two alike and none of the size that the model wants."""
    from PIL import Image

    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(60):
        coarse = random.integers(0, 255, (3, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((24, 18)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def external(tmp_path: Path, sentence_model: Path, image_model: Path, pictures: Path, items: pl.DataFrame) -> dict[str, Any]:
    """Class name -> what a yaml leaves to the user, and caches in a place of the test."""
    vectors = np.random.default_rng(3).standard_normal((items.height + 1, 10)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors, allow_pickle=False)
    (tmp_path / "ids.json").write_text(json.dumps(["new_item", *items["item_id"][::-1]]), encoding="utf-8")
    return {
        "SentenceTransformerEncoder": {"model": str(sentence_model), "cache": str(tmp_path / "cache")},
        "ImageEncoder": {"model": str(image_model), "folder": str(pictures), "cache": str(tmp_path / "cache")},
        "Precomputed": {"path": str(tmp_path / "vectors.npy"), "ids": str(tmp_path / "ids.json")},
    }
