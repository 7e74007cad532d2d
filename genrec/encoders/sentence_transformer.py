"""Encodes item texts with a sentence-transformers model; each distinct text is computed once and cached.

See docs/methods/encoders.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from rich.console import Console
from rich.progress import track

from genrec.core.dataset import Sequences
from genrec.encoders.lib.item_text import AUTO, Columns, column_note, item_texts, usable_columns
from genrec.encoders.lib.vector_cache import VectorCache, is_model_of, model_identity
from genrec.errors import ConfigError, DataError
from genrec.nn.pretrained import check_folder
from genrec.references import expand_path

STATE_FILE = "sentence_transformer.json"
_SHARD = 8192  # texts per file of the cache: a killed run loses at most that many


class SentenceTransformerEncoder:
    """Unit-length sentence embeddings of item texts.

    Args:
        model: a local folder, or a model id of the Hugging Face hub.
        revision: branch, tag or commit of a hub model; give a commit where the result must be reproducible.
        columns: item columns that make up the text, in this order; ``notes`` names those that the catalogue lacks. ``auto``:
            those with a usual name of a title, a brand, categories or a description.
        batch_size: texts per forward pass.
        cache: folder for computed vectors, shared by all runs; None: keep them in memory.
    """

    reads_later: ClassVar[tuple[str, ...]] = ("model",)

    def __init__(
        self,
        *,
        model: Path | str,
        revision: str | None = None,
        columns: Columns = AUTO,
        batch_size: int = 64,
        cache: str | None = "~/.cache/genrec/vectors",
    ) -> None:
        self.model, self.revision, self.batch_size = str(model), revision, batch_size
        self.columns: Columns = columns
        self.cache = None if cache is None else expand_path(cache)
        self.notes: list[str] = []
        self._loaded: Any = None

    def fit(self, items: pl.DataFrame, train: Sequences) -> None:
        usable, absent = usable_columns(items, self.columns)
        self.notes = column_note(self.columns, usable, absent)
        self.columns = usable

    def encode(self, items: pl.DataFrame) -> Float[np.ndarray, "items dim"]:
        return self.encode_texts(item_texts(items, self.columns))

    def encode_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "texts dim"]:
        cache = VectorCache(self.cache and self.cache / model_identity(self.model, self.revision))
        missing = sorted({text for text in texts if text not in cache}, key=lambda text: (len(text), text))
        console = Console(stderr=True)
        shards = [missing[start : start + _SHARD] for start in range(0, len(missing), _SHARD)]
        for shard in shards:
            model = self._model()
            batches = [shard[start : start + self.batch_size] for start in range(0, len(shard), self.batch_size)]
            shown = track(batches, description=f"embed {len(shard):,} texts", console=console, disable=not console.is_terminal)
            vectors = [
                model.encode(batch, batch_size=self.batch_size, normalize_embeddings=True, show_progress_bar=False)
                for batch in shown
            ]
            cache.add(shard, np.concatenate(vectors).astype(np.float32))
        return cache.vectors(texts)

    def present(self, items: pl.DataFrame) -> Bool[np.ndarray, " items"]:
        return np.array([bool(text) for text in item_texts(items, self.columns)], dtype=bool)

    def save(self, folder: Path) -> None:
        state = {
            "model": self.model,
            "revision": self.revision,
            "identity": model_identity(self.model, self.revision),
            "columns": self.columns,
        }
        (folder / STATE_FILE).write_text(json.dumps(state, indent=2), encoding="utf-8")

    def restore(self, folder: Path) -> None:
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        self.columns = state["columns"]
        if not is_model_of(state, self.model, self.revision):
            raise DataError(
                "encoder.model",
                expected=f"the model the vectors were made with ({state['model']})",
                got=f"{self.model} with other content",
                fix="give that model's folder, or embed again",
            )

    def _model(self) -> Any:
        if self._loaded is None:
            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
            from sentence_transformers import SentenceTransformer

            folder = expand_path(self.model)
            is_local = folder.is_dir()
            if is_local:
                check_folder(folder, "encoder.model")
            try:
                self._loaded = SentenceTransformer(
                    str(folder) if is_local else self.model,
                    revision=self.revision,
                    trust_remote_code=False,
                    local_files_only=is_local,
                    model_kwargs={"use_safetensors": True},
                )
            except Exception as error:  # the hub, the file system and the formats each have their own errors
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ConfigError(
                    "encoder.model",
                    expected="a local sentence-transformers folder, or a hub id and a network",
                    got=f"{self.model} ({reason})",
                    fix="download the model where there is a network and give its folder: encoder.model=/path/to/folder",
                ) from error
        return self._loaded
