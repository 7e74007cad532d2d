"""Small catalogues for the contract suites: with vectors for tokenizers and collision policies, with texts for encoders."""

from __future__ import annotations

import numpy as np
import polars as pl

from genrec.core.dataset import Sequences
from genrec.protocols import CollisionContext, TokenizerInputs


def make_inputs(vectors: np.ndarray, *, first: int = 0) -> TokenizerInputs:
    """Items with the given vectors, a two-level category that these decide, and histories that walk among like items.

    Args:
        first: number of the first item in its ``item_id``; items with other numbers are other items.
    """
    finite = np.nan_to_num(np.asarray(vectors, dtype=np.float64), posinf=0, neginf=0)
    names = [f"Root > {'AB'[a]} > {'cd'[b]}" for a, b in (finite[:, [0, -1]] > 0).astype(int)]
    ids = [f"item-{first + i:04}" for i in range(len(vectors))]
    items = pl.DataFrame({"item_id": ids, "categories": names}, schema={"item_id": pl.String, "categories": pl.String})
    train = like_items_together(finite)
    collaborative = finite[:, ::-1] * (np.arange(len(finite)) % 5 > 0)[:, None]  # of like items alike; zero in no history
    embeddings = {"item": np.asarray(vectors, np.float32), "collaborative": collaborative.astype(np.float32)}
    return TokenizerInputs(embeddings, items, train)


def like_items_together(vectors: np.ndarray, length: int = 6) -> Sequences:
    """One history an item: its nearest items, in random order; every fifth item is in none."""
    distance = np.square(vectors[:, None] - vectors[None]).sum(-1)
    distance[:, ::5] = np.inf
    random = np.random.default_rng(0)
    rows = [random.permutation(np.argsort(line, kind="stable")[:length][: int(np.isfinite(line).sum())]) for line in distance]
    lengths = [len(row) for row in rows]
    return Sequences(np.concatenate(rows).astype(np.int32), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def some(inputs: TokenizerInputs, rows: np.ndarray) -> TokenizerInputs:
    """The inputs of some items, in the given order."""
    embeddings = {name: vectors[rows] for name, vectors in inputs.embeddings.items()}
    return TokenizerInputs(embeddings, inputs.items[rows.tolist()], inputs.train)


def clustered(num_items: int, dim: int = 12, clusters: int = 9, seed: int = 0) -> np.ndarray:
    """Returns vectors [items, dim] around a few centres."""
    random = np.random.default_rng(seed)
    centers = random.standard_normal((clusters, dim)) * 3
    return (centers[random.integers(clusters, size=num_items)] + random.standard_normal((num_items, dim))).astype(np.float32)


def make_context(num_items: int, costs: np.ndarray | None = None, counts: np.ndarray | None = None) -> CollisionContext:
    """``costs`` [items, size]: last-level costs that do not depend on the prefix."""
    return CollisionContext(
        item_ids=pl.Series([f"item-{i:04}" for i in range(num_items)]),
        train_counts=np.zeros(num_items, np.int64) if counts is None else counts,
        costs=None if costs is None else (lambda rows, prefix: costs[rows]),
        codebooks="books",
    )


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
    """Returns random walks over items; the last four items of the catalogue never occur."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, 9, num_users)
    rows = [(random.integers(num_items) + random.integers(0, 4, n).cumsum()) % max(num_items - 4, 1) for n in lengths]
    flat = np.concatenate(rows).astype(np.int32) if len(rows) else np.zeros(0, np.int32)
    return Sequences(flat, np.concatenate([[0], lengths.cumsum()]).astype(np.int64))


def new_items() -> pl.DataFrame:
    """Returns an item that was not there before."""
    content = {"title": ["red unheard soap"], "brand": [None], "categories": [["Beauty", "soap"]], "image": ["7.png"]}
    return pl.DataFrame({"item_id": ["new_item"], **content}, schema_overrides={"brand": pl.String})
