"""Encodes item images with a CLIP- or SigLIP-type model of transformers; each distinct image is computed once and cached.

See docs/methods/encoders.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from rich.console import Console
from rich.progress import track
from safetensors.numpy import load_file, save_file

from genrec.core.dataset import Sequences
from genrec.encoders.lib.vector_cache import VectorCache, is_model_of, model_identity
from genrec.errors import ConfigError, DataError, did_you_mean
from genrec.nn.pretrained import check_folder
from genrec.references import expand_path
from genrec.types import ITEM_ID

STATE_FILE, MEAN_FILE = "image.json", "mean.safetensors"
_SHARD = 4096  # images per file of the cache: a killed run loses at most that many


class ImageEncoder:
    """Unit-length image embeddings.

    An item without an image gets the mean of the fitted items' vectors, which is zero after centring, and ``present`` is False
    for it: ``concat`` then predicts its part from the other sources.

    Args:
        model: a local folder, or a model id of the Hugging Face hub; anything with ``get_image_features``.
        folder: the folder of the images; their content is part of the input.
        column: of the items, with a path below ``folder``; null or empty where there is no image.
        missing: what to do about images that are missing or unreadable: ``error``, or ``mean``, as for items without an image.
        revision: branch, tag or commit of a hub model; give a commit where the result must be reproducible.
        batch_size: images per forward pass.
        cache: folder for computed vectors, shared by all runs; None: keep them in memory.
    """

    reads_later: ClassVar[tuple[str, ...]] = ("model", "folder")

    def __init__(
        self,
        *,
        model: Path | str,
        folder: Path,
        column: str = "image",
        missing: Literal["error", "mean"] = "error",
        revision: str | None = None,
        batch_size: int = 32,
        cache: str | None = "~/.cache/genrec/vectors",
    ) -> None:
        self.model, self.folder, self.column, self.missing = str(model), expand_path(folder), column, missing
        self.revision, self.batch_size = revision, batch_size
        self.cache = None if cache is None else expand_path(cache)
        self.notes: list[str] = []
        self._loaded: tuple[Any, Any] | None = None

    def fit(self, items: pl.DataFrame, train: Sequences) -> None:
        """Computes all images, and the mean that stands for missing ones.

        Raises:
            ConfigError: when the items have no such column, or the model cannot be loaded.
            DataError: under ``missing: error`` for an image that cannot be read, and when no item has one.
        """
        vectors, has_image = self._vectors(items)
        if not has_image.any():
            got = f"none for {items.height:,} items"
            raise DataError(
                f"items, column {self.column}", expected="an image of some item", got=got, fix="check encoder.folder"
            )
        self._mean = vectors[has_image].mean(axis=0, dtype=np.float64).astype(np.float32)
        self.notes = [f"{int((~has_image).sum()):,} items have no image"] if not has_image.all() else []

    def encode(self, items: pl.DataFrame) -> Float[np.ndarray, "items dim"]:
        vectors, has_image = self._vectors(items)
        return np.where(has_image[:, None], vectors, self._mean)

    def present(self, items: pl.DataFrame) -> Bool[np.ndarray, " items"]:
        return np.array([image is not None for image in self._images(items)], dtype=bool)

    def save(self, folder: Path) -> None:
        state = {"model": self.model, "identity": model_identity(self.model, self.revision)}
        (folder / STATE_FILE).write_text(json.dumps(state, indent=2), encoding="utf-8")
        save_file({"mean": self._mean}, folder / MEAN_FILE)

    def restore(self, folder: Path) -> None:
        state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        if not is_model_of(state, self.model, self.revision):
            raise DataError(
                "encoder.model",
                expected=f"the model the vectors were made with ({state['model']})",
                got=f"{self.model} with other content",
                fix="give that model's folder, or embed again",
            )
        self._mean = load_file(folder / MEAN_FILE)["mean"]

    # --- images ---------------------------------------------------------------------------------------------------------

    def _vectors(self, items: pl.DataFrame) -> tuple[Float[np.ndarray, "items dim"], Bool[np.ndarray, " items"]]:
        """Returns the vectors, and which items have one; the rows of the others are zero."""
        images = self._images(items)
        names = [None if image is None else sha256(image.read_bytes()).hexdigest() for image in images]
        path_of = dict(zip(names, images, strict=True))
        cache = VectorCache(self.cache and self.cache / model_identity(self.model, self.revision))
        todo = sorted(name for name in path_of if name is not None and name not in cache)
        console = Console(stderr=True)
        for start in range(0, len(todo), _SHARD):
            shard = todo[start : start + _SHARD]
            batches = [shard[first : first + self.batch_size] for first in range(0, len(shard), self.batch_size)]
            shown = track(batches, description=f"embed {len(shard):,} images", console=console, disable=not console.is_terminal)
            cache.add(shard, np.concatenate([self._embed([path_of[name] for name in batch]) for batch in shown]))
        has_image = np.array([name is not None for name in names], dtype=bool)
        image_vectors = (
            cache.vectors([name for name in names if name is not None]) if has_image.any() else np.zeros((0, 1), np.float32)
        )
        vectors = np.zeros((len(names), image_vectors.shape[1]), np.float32)
        vectors[has_image] = image_vectors
        return vectors, has_image

    def _images(self, items: pl.DataFrame) -> list[Path | None]:
        """Returns the path of each item's readable image, or None."""
        if self.column not in items.columns:
            fix = did_you_mean(self.column, items.columns)
            raise ConfigError("encoder.column", expected="a column of the items", got=self.column, fix=fix)
        images: list[Path | None] = []
        for item, name in zip(items[ITEM_ID], items[self.column].cast(pl.String), strict=True):
            path = self.folder / name if name else None
            if path is not None and (problem := _problem(path)):
                if self.missing == "error":
                    fix = "repair it, or set encoder.missing=mean"
                    raise DataError(f"items, item {item}", expected="an image", got=f"{path} ({problem})", fix=fix)
                path = None
            images.append(path)
        return images

    def _embed(self, images: Sequence[Path | None]) -> Float[np.ndarray, "images dim"]:
        from PIL import Image

        model, processor = self._model()
        opened = [Image.open(image).convert("RGB") for image in images if image is not None]
        with torch.inference_mode():
            pixels = processor(images=opened, return_tensors="pt").to(model.device)
            output = model.get_image_features(**pixels)
        vectors = getattr(output, "pooler_output", output).float().cpu()
        return torch.nn.functional.normalize(vectors, dim=-1).numpy()

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import AutoImageProcessor, AutoModel

            folder = expand_path(self.model)
            is_local = folder.is_dir()
            source = str(folder) if is_local else self.model
            how: dict[str, Any] = {"revision": self.revision, "trust_remote_code": False, "local_files_only": is_local}
            if is_local:
                check_folder(folder, "encoder.model")
            try:
                # One backend everywhere: the other one exists only with torchvision and resizes slightly differently.
                processor = AutoImageProcessor.from_pretrained(source, backend="pil", **how)
                model = AutoModel.from_pretrained(source, use_safetensors=True, **how)
                model.get_image_features  # noqa: B018  (a model of text alone has none)
            except Exception as error:  # the hub, the file system and the formats each have their own errors
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ConfigError(
                    "encoder.model",
                    expected="a local folder of a CLIP-type model, or a hub id and a network",
                    got=f"{self.model} ({reason})",
                    fix="download the model where there is a network and give its folder: encoder.model=/path/to/folder",
                ) from error
            self._loaded = model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), processor
        return self._loaded


def _problem(path: Path) -> str | None:
    """Returns why a file cannot be read as an image, or None; only its header is read."""
    from PIL import Image

    try:
        with Image.open(path):
            return None
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        return type(error).__name__
