"""Codes of users: the fitted item tokenizer applied to a mean of the vectors of a user's items, the latest counting most.

The idea is ULMRec's (arXiv 2412.05543), which tokenizes users by their reviews and ids; here a user is what they took, so that
whoever has a history has a code, also after training. The same formula serves a run and a package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from genrec.core.dataset import Dataset, Sequences
from genrec.core.event_schema import USER_CODES
from genrec.protocols import ItemTokenizer, TokenizerInputs
from genrec.types import ITEM_ID

KIND = "user_codes"  # of artifact
CODES_FILE, FACTS_FILE = "user_codes.npy", "user_codes.json"


def recency_means(
    sequences: Sequences, vectors: Float[np.ndarray, "items dim"], half_life: float
) -> Float[np.ndarray, "users dim"]:
    """Returns the mean vector of the items of each history, float32; zeros where there are none.

    Args:
        sequences: the histories, from the first event on.
        vectors: of the items.
        half_life: events after which an item counts half: the last one has weight 1, the one ``half_life`` before it .5.
    """
    from scipy.sparse import csr_array  # not where a package without codes of users is opened

    age = np.repeat(np.asarray(sequences.offsets[1:]), sequences.lengths) - 1 - np.arange(len(sequences.item_idx))
    weights = csr_array(
        (0.5 ** (age / half_life), np.asarray(sequences.item_idx), np.asarray(sequences.offsets)),
        shape=(len(sequences), len(vectors)),
    )
    total = np.asarray(weights.sum(axis=1), np.float64).reshape(-1, 1)
    return np.asarray((weights @ vectors) / np.where(total > 0, total, 1.0), np.float32)


def user_codes(
    tokenizer: ItemTokenizer, vectors: Mapping[str, np.ndarray], sequences: Sequences, half_life: float
) -> Int[np.ndarray, "users levels"]:
    """Returns the codes of users by their histories, int32: from 1 on, 0 at every level where there is no history.

    Args:
        tokenizer: fitted on items. It must read vectors, and take others than those of its items.
        vectors: source -> of the items.
        sequences: the histories.
        half_life: see ``recency_means``.
    """
    codes = np.zeros((len(sequences), len(tokenizer.sizes)), np.int32)
    users = np.flatnonzero(sequences.lengths)
    if len(users):
        histories = sequences.of(users)
        means = {name: recency_means(histories, rows, half_life) for name, rows in vectors.items()}
        names = pl.DataFrame({ITEM_ID: [f"\0user {user}" for user in users]})  # no item's id, which a tokenizer may look up
        codes[users] = np.asarray(tokenizer.encode(TokenizerInputs(embeddings=means, items=names))) + 1
    return codes


def write_user_codes(folder: Path, codes: Int[np.ndarray, "users levels"], sizes: Sequence[int], half_life: float) -> None:
    """Writes what ``with_user_codes`` reads.

    Args:
        folder: of the ``user_codes`` artifact.
        codes: of all users.
        sizes: codes of each level of the tokenizer.
        half_life: that they were made with.
    """
    np.save(folder / CODES_FILE, codes.astype(np.int32), allow_pickle=False)
    facts = {"sizes": [int(size) + 1 for size in sizes], "half_life": half_life}  # one more: that of nobody
    (folder / FACTS_FILE).write_text(json.dumps(facts, indent=2), encoding="utf-8")


def with_user_codes(dataset: Dataset, parts: Mapping[str, Path]) -> Dataset:
    """Returns the dataset with the codes of its users; as it is where there are none.

    Args:
        dataset: prepared.
        parts: kind -> folder of the artifact: ``user_codes``, where there are some.
    """
    if KIND not in parts:
        return dataset
    codes = np.load(parts[KIND] / CODES_FILE, allow_pickle=False)
    facts = json.loads((parts[KIND] / FACTS_FILE).read_text(encoding="utf-8"))
    events = replace(dataset.events, users={**dataset.events.users, USER_CODES: codes})
    schema = dataset.schema.with_user_codes(facts["sizes"], facts["half_life"])
    return replace(dataset, events=events, schema=schema)
