"""Contents of items: vectors of their texts for cosines, and pairs of items with nearly the same title."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sparse
from jaxtyping import Float
from sklearn.feature_extraction.text import TfidfVectorizer

from genrec.audits.ranks import Steps
from genrec.core.dataset import Dataset
from genrec.core.words import words
from genrec.encoders.lib.item_text import item_texts
from genrec.encoders.tfidf_svd import TfidfSVD
from genrec.types import ITEM_ID

TITLE = "title"
SHORT_COLUMNS = (TITLE, "brand", "categories")  # descriptions cost minutes and separate items no better
NEAR = 0.95  # TF-IDF cosine of two titles that count as near-duplicates
DIM = 64
ROWS_AT_ONCE = 1024
EXAMPLES = 5


def text_columns(items: pl.DataFrame) -> list[str]:
    """The short columns of texts that are not empty; the description where there is none of them."""
    filled = [
        name for name in (*SHORT_COLUMNS, "description") if name in items.columns and items[name].null_count() < items.height
    ]
    return [name for name in filled if name in SHORT_COLUMNS] or filled


def item_vectors(dataset: Dataset) -> Float[np.ndarray, "items dim"] | None:
    """Computes unit vectors of the item texts (zero without a word); None without texts."""
    columns = text_columns(dataset.items)
    if not columns or not any(words(text) for text in item_texts(dataset.items, columns)):
        return None
    encoder = TfidfSVD(columns=columns, dim=DIM)
    encoder.fit(dataset.items, dataset.train)
    vectors = encoder.encode(dataset.items)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def near_duplicates(dataset: Dataset, steps: Steps) -> dict[str, Any] | None:
    """Counts items with (nearly) the same words in their titles: TF-IDF cosine of at least ``NEAR``. None without titles.

    Returns:
        ``same_title`` and ``near``: share of the items that have such a partner; ``target_in_catalogue``: test targets that
        have one; ``target_in_history``: those that have one among the items of their history; ``examples``: pairs of titles.
    """
    if TITLE not in dataset.items.columns:
        return None
    titles = [" ".join(words((text or "").lower())) for text in dataset.items[TITLE].cast(pl.String)]
    if not any(titles):
        return None
    pairs = _near_pairs(titles)
    partners = np.diff(pairs.indptr) > 0
    histories = dataset.histories("test")
    in_histories = sparse.csr_array(
        (np.ones(len(histories.item_idx), np.float32), (histories.user_idx, histories.item_idx)),
        shape=(len(histories), dataset.num_items),
    )
    near_history = in_histories[steps.user].multiply(pairs[steps.target]).sum(axis=1) > 0
    first, second = pairs.nonzero()
    ordered = np.flatnonzero(first < second)
    chosen = ordered[np.random.default_rng(0).permutation(len(ordered))[:EXAMPLES]]
    names = dataset.items[TITLE].cast(pl.String)
    ids = dataset.items[ITEM_ID]
    same = pl.Series(titles).is_duplicated().to_numpy() & (np.array([len(title) for title in titles]) > 0)
    return {
        "same_title": float(same.mean()),
        "near": float(partners.mean()),
        "target_in_catalogue": float(partners[steps.target].mean()),
        "target_in_history": float(np.mean(near_history)),
        "examples": [
            [ids[int(i)], names[int(i)], ids[int(j)], names[int(j)]] for i, j in zip(first[chosen], second[chosen], strict=True)
        ],
    }


def _near_pairs(titles: list[str]) -> sparse.csr_array:
    """float32 [items, items], symmetric, 1 for near-duplicates; 0 on the diagonal."""
    weights = TfidfVectorizer(tokenizer=words, token_pattern=None, sublinear_tf=True, dtype=np.float32).fit_transform(titles)
    weights = sparse.csr_array(weights)
    transposed = weights.T.tocsr()
    rows, columns = [], []
    for start in range(0, len(titles), ROWS_AT_ONCE):
        cosine = (weights[start : start + ROWS_AT_ONCE] @ transposed).tocoo()
        near = (cosine.data >= NEAR) & (cosine.row + start != cosine.col)
        rows.append(cosine.row[near] + start)
        columns.append(cosine.col[near])
    row, column = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_array((np.ones(len(row), np.float32), (row, column)), shape=(len(titles), len(titles)))
