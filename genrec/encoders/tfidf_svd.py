"""Encodes item texts as TF-IDF of words and word pairs, reduced by SVD (latent semantic analysis), without a pretrained model.

See docs/methods/encoders.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from safetensors.numpy import load_file, save_file
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from genrec.core.dataset import Sequences
from genrec.core.words import words
from genrec.encoders.lib.item_text import (
    AUTO,
    Columns,
    column_note,
    item_texts,
    rarity_note,
    script_note,
    usable_columns,
)
from genrec.encoders.lib.svd import truncated_svd
from genrec.errors import DataError


class TfidfSVD:
    """TF-IDF + truncated SVD of item texts, in any script (see ``words``).

    Vocabulary and weights come from all items of the catalogue, cold ones included, since content is no label. An item without
    any word of the vocabulary has the zero vector, and ``present`` is False for it.

    Args:
        columns: item columns that make up the text, in this order; ``notes`` names those that the catalogue lacks. ``auto``:
            those with a usual name of a title, a brand, categories or a description.
        dim: length of the vectors (fewer for a catalogue smaller than that).
        max_features: size of the vocabulary: the most frequent words and word pairs.
    """

    def __init__(self, *, columns: Columns = AUTO, dim: int = 128, max_features: int = 20_000) -> None:
        self.columns: Columns = columns
        self.dim, self.max_features = dim, max_features
        self.notes: list[str] = []

    def fit(self, items: pl.DataFrame, train: Sequences) -> None:
        usable, absent = usable_columns(items, self.columns)
        self.notes = column_note(self.columns, usable, absent)
        self.columns = usable
        self._vectorizer = self._new_vectorizer(max_features=self.max_features)
        texts = item_texts(items, usable)
        try:
            weights = self._vectorizer.fit_transform(texts)
        except ValueError as error:  # sklearn's "empty vocabulary"
            got, fix = f"none in {len(texts):,} texts", "name other columns with encoder.columns=[...]"
            raise DataError(f"items: columns {', '.join(usable)}", expected="words", got=got, fix=fix) from error
        more = (script_note(texts), rarity_note([words(text.lower()) for text in texts]), self._empty_note(items))
        self.notes += [note for note in more if note]
        _, _, right = truncated_svd(sparse.csr_array(weights), self.dim)
        self._components = right.astype(np.float32)

    def encode(self, items: pl.DataFrame) -> Float[np.ndarray, "items dim"]:
        return self.encode_texts(item_texts(items, self.columns))

    def encode_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
        return np.asarray(sparse.csr_array(self._vectorizer.transform(texts)) @ self._components.T, dtype=np.float32)

    def present(self, items: pl.DataFrame) -> Bool[np.ndarray, " items"]:
        vocabulary = self._vectorizer.vocabulary_
        texts = (text.lower() for text in item_texts(items, self.columns))
        return np.array([any(word in vocabulary for word in words(text)) for text in texts], dtype=bool)

    def save(self, folder: Path) -> None:
        terms = self._vectorizer.get_feature_names_out().tolist()
        (folder / "vocabulary.json").write_text(
            json.dumps({"columns": self.columns, "terms": terms}, ensure_ascii=False), encoding="utf-8"
        )
        idf = self._vectorizer.idf_.astype(np.float64)
        save_file({"idf": idf, "components": np.ascontiguousarray(self._components)}, folder / "svd.safetensors")

    def restore(self, folder: Path) -> None:
        state = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / "svd.safetensors")
        self.columns = state["columns"]
        self._vectorizer = self._new_vectorizer(vocabulary=state["terms"])
        self._vectorizer.idf_ = arrays["idf"]
        self._components = arrays["components"]

    def _empty_note(self, items: pl.DataFrame) -> str | None:
        count = int((~self.present(items)).sum())
        without = f"no word of the vocabulary of {len(self._vectorizer.vocabulary_):,}"
        return f"{count:,} of {items.height:,} items have {without}: their vectors are zero" if count else None

    @staticmethod
    def _new_vectorizer(**options: object) -> TfidfVectorizer:
        return TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, tokenizer=words, token_pattern=None, dtype=np.float64, **options
        )
