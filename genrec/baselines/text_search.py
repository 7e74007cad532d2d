"""Search in the texts of items: TF-IDF or BM25 of the words that were asked for. What a model that hears words has to beat.

BM25 by Robertson and Zaragoza (2009), with the inverse frequency that is never negative; see docs/methods/synergen.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl
import scipy.sparse as sparse
from jaxtyping import Float
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from genrec.baselines.lib.ranking import tie_breaker
from genrec.core.dataset import Dataset, Sequences
from genrec.core.words import words
from genrec.errors import ConfigError
from genrec.types import ITEM_ID


class TextSearch:
    """Ranks items by how well their texts match the text of a request; equal ones, and all without a text, by popularity.

    ``tfidf`` is the cosine of vectors of ``(1 + log tf) * idf``. With ``n`` of ``N`` items that have a word and ``l`` the
    length of an item's text in mean lengths, ``bm25`` is the sum over the words of the request of

        log(1 + (N - n + 0.5) / (n + 0.5)) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * l))

    Histories say nothing here. Words are counted in the texts of all items, new ones too, since a text is no label.

    Args:
        columns: of the items, that make up the text; None: all that hold text.
        weighting: of the words.
        k1: of BM25: how soon a word that is there again counts no more, >= 0.
        b: of BM25: how much long texts are held back, in [0, 1].
    """

    def __init__(
        self,
        *,
        columns: Sequence[str] | None = None,
        weighting: Literal["tfidf", "bm25"] = "bm25",
        k1: float = 1.2,
        b: float = 0.75,
    ) -> None:
        self.columns, self.weighting, self.k1, self.b = columns, weighting, k1, b

    def obstacle(self, dataset: Dataset) -> str | None:
        """Why it cannot be fitted, or None."""
        return None if any(words(text) for text in self._texts(dataset.items)) else "the items have no text"

    def fit(self, dataset: Dataset) -> None:
        self.tie_breaker = tie_breaker(dataset)
        texts = self._texts(dataset.items)
        options = {"tokenizer": words, "token_pattern": None}
        self.vectorizer = (
            TfidfVectorizer(sublinear_tf=True, **options) if self.weighting == "tfidf" else CountVectorizer(**options)
        )
        self.by_word: sparse.csr_array | None = None
        if not any(words(text) for text in texts):
            return  # all go by popularity
        counts = sparse.csr_array(self.vectorizer.fit_transform(texts), dtype=np.float64)
        self.by_word = (counts if self.weighting == "tfidf" else self._bm25(counts)).T.tocsr()

    def score(self, histories: Sequences) -> Float[np.ndarray, "users items"]:
        return np.tile(self.tie_breaker, (len(histories), 1))

    def search(self, texts: Sequence[str]) -> Float[np.ndarray, "texts items"]:
        """Scores of all items for each text; of an empty one as without a request."""
        if self.by_word is None:
            return np.tile(self.tie_breaker, (len(texts), 1))
        asked = sparse.csr_array(self.vectorizer.transform(texts), dtype=np.float64)
        return (asked @ self.by_word).toarray() + self.tie_breaker

    def _bm25(self, counts: sparse.csr_array) -> sparse.csr_array:
        number, lengths = counts.shape[0], np.asarray(counts.sum(axis=1)).ravel()
        with_word = np.bincount(counts.indices, minlength=counts.shape[1])
        rarity = np.log1p((number - with_word + 0.5) / (with_word + 0.5))
        held_back = self.k1 * (1 - self.b + self.b * lengths / lengths.mean())
        row = np.repeat(np.arange(number), np.diff(counts.indptr))
        weights = rarity[counts.indices] * counts.data * (self.k1 + 1) / (counts.data + held_back[row])
        return sparse.csr_array((weights, counts.indices, counts.indptr), shape=counts.shape)

    def _texts(self, items: pl.DataFrame) -> list[str]:
        kinds = (pl.String, pl.List(pl.String))
        columns = [name for name, kind in items.schema.items() if kind in kinds and name != ITEM_ID]
        if absent := [name for name in self.columns or () if name not in columns]:
            expected = f"columns of the items with text ({', '.join(columns[:20])})"
            raise ConfigError("columns", expected=expected, got=absent[0], fix="correct the name, or leave columns out")
        parts = [pl.col(name) for name in self.columns or columns]
        joined = [
            part.list.join(" ", ignore_nulls=True) if items.schema[part.meta.output_name()] != pl.String else part
            for part in parts
        ]
        if not joined:
            return [""] * items.height
        return items.select(pl.concat_str(joined, separator=" ", ignore_nulls=True).fill_null("").alias("text"))[
            "text"
        ].to_list()
