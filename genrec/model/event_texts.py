"""What was asked for in words before events, as vectors: the files of a ``conditions`` artifact, and who makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from genrec.core.dataset import Dataset, Sequences, Texts
from genrec.data.event_columns import asked_for
from genrec.errors import DataError
from genrec.types import PAD, Split

CONDITIONS = "conditions"  # kind of artifact
TEXT = "text"  # name in ``recommend.request``
ROWS_FILE, VECTORS_FILE = "rows.npy", "vectors.safetensors"
_VECTORS = "vectors"  # the tensor


@dataclass(frozen=True)
class DistinctTexts:
    """The texts of a dataset, each once.

    Args:
        words: the texts, sorted.
        rows: int32 [events], which of them was asked for; ``PAD`` where nothing was.
    """

    words: list[str]
    rows: np.ndarray


def distinct_texts(dataset: Dataset) -> DistinctTexts:
    """Collects what was asked for; blank texts count as none.

    Raises:
        DataError: when nothing was asked for before any event.
    """
    texts = pl.Series([], dtype=pl.String) if dataset.event_texts is None else dataset.event_texts
    texts = texts.cast(pl.String).str.strip_chars()
    texts = texts.set(texts == "", None)
    words = texts.drop_nulls().unique().sort()
    if not len(words):
        fix = "name a column with texts, or leave events.text out"
        raise DataError("events.text", expected="a text before some event", got="none", fix=fix)
    rows = texts.replace_strict(words, np.arange(len(words), dtype=np.int32), default=PAD, return_dtype=pl.Int32)
    return DistinctTexts(words.to_list(), rows.to_numpy())


def write_texts(folder: Path, rows: np.ndarray, vectors: np.ndarray) -> None:
    """Writes what ``with_texts`` reads.

    Args:
        folder: of the ``conditions`` artifact.
        rows: int32 [events].
        vectors: float32 [texts, dim].

    Raises:
        DataError: for vectors that are not finite.
    """
    if wrong := int((~np.isfinite(vectors).all(axis=1)).sum()):
        fix = "check the encoder's model"
        raise DataError("events.text", expected="vectors of finite numbers", got=f"others for {wrong:,} texts", fix=fix)
    np.save(folder / ROWS_FILE, rows.astype(np.int32), allow_pickle=False)
    save_file({_VECTORS: np.ascontiguousarray(vectors)}, folder / VECTORS_FILE)


def with_texts(dataset: Dataset, parts: Mapping[str, Path]) -> Dataset:
    """Returns the dataset with the vectors of its texts; as it is where there are none.

    Args:
        dataset: prepared.
        parts: kind -> folder of the artifact: ``conditions``, where there are texts.
    """
    if CONDITIONS not in parts:
        return dataset
    folder = parts[CONDITIONS]
    rows = np.load(folder / ROWS_FILE, mmap_mode="r", allow_pickle=False)
    vectors = load_file(folder / VECTORS_FILE)[_VECTORS]
    events = replace(dataset.events, texts=Texts(rows, vectors))
    return replace(dataset, events=events, schema=dataset.schema.with_text(vectors.shape[1]))


def asking_histories(dataset: Dataset, split: Split, request: Mapping[str, Any]) -> Sequences:
    """Returns the histories before a split's targets with what lists ask for.

    Args:
        dataset: prepared, with the vectors of its texts where it has some.
        split: whose targets follow.
        request: as ``asked_for`` takes it; ``text: target`` gives the text before each user's next event.

    Raises:
        ConfigError: as ``asked_for`` does.
    """
    of_columns = dict(request)
    asks = dataset.events.texts is not None and of_columns.pop(TEXT, None) is not None
    histories = replace(dataset.histories(split), request=asked_for(dataset, split, of_columns))
    return replace(histories, given=_text_after(dataset, split)) if asks else histories


def asks_for_texts(dataset: Dataset, request: Mapping[str, Any]) -> bool:
    """Whether lists ask for the text before each target, and there is one."""
    return dataset.event_texts is not None and request.get(TEXT) is not None


def texts_after(dataset: Dataset, split: Split) -> list[str]:
    """Returns the text before each user's next event; "" where there is none."""
    assert dataset.event_texts is not None
    starts = np.asarray(dataset.train_ends if split == "validation" else dataset.validation_ends)
    texts, users = [""] * dataset.num_users, np.flatnonzero(dataset.targets(split).lengths)
    for user, text in zip(users.tolist(), dataset.event_texts.gather(starts[users]).cast(pl.String).to_list(), strict=True):
        texts[user] = text or ""
    return texts


def _text_after(dataset: Dataset, split: Split) -> np.ndarray:
    """float32 [users, dim]: the vector of the text before each user's next event, zeros where there is none."""
    targets = dataset.targets(split)
    assert targets.texts is not None
    given = np.zeros((dataset.num_users, targets.texts.vectors.shape[1]), np.float32)
    users = np.flatnonzero(targets.lengths)
    rows = np.asarray(targets.texts.rows)[targets.offsets[users]]
    given[users[rows != PAD]] = targets.texts.vectors[rows[rows != PAD]]
    return given
