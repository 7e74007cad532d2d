"""Small catalogues with texts, for encoders."""

from __future__ import annotations

import numpy as np
import polars as pl

from genrec.core.dataset import Sequences

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
    """Returns items with titles of four words, brands, categories and names of images; some have no brand or image."""
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "item_id": [f"item-{i:03}" for i in range(num_items)],
            "title": [" ".join(random.choice(WORDS, 4)) for _ in range(num_items)],
            "brand": [random.choice(["Acme", "Bolt", None]) for _ in range(num_items)],  # type: ignore[arg-type]
            "categories": [["Beauty", str(random.choice(WORDS))] for _ in range(num_items)],
            "image": [None if i % 9 == 4 else f"{i}.png" for i in range(num_items)],
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


def new_items() -> pl.DataFrame:
    """Returns an item that was not there before."""
    content = {"title": ["red unheard soap"], "brand": [None], "categories": [["Beauty", "soap"]], "image": ["7.png"]}
    return pl.DataFrame({"item_id": ["newcomer"], **content}, schema_overrides={"brand": pl.String})
