"""Messages of the image encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from error_cases import Case, Scene
from genrec.core.dataset import Sequences
from genrec.encoders.image import ImageEncoder
from genrec.errors import ConfigError, DataError


def picture(folder: Path) -> str:
    from PIL import Image

    Image.new("RGB", (4, 4)).save(folder / "a.png")
    return "a.png"


def fit(name: Callable[[Path], str | None], **settings: Any) -> Callable[[Scene], Any]:
    def trigger(scene: Scene) -> Any:
        items = pl.DataFrame({"item_id": ["one"], "image": [name(scene.path)]}, schema_overrides={"image": pl.String})
        nobody = Sequences(np.zeros(0, np.int32), np.zeros(1, np.int64))
        encoder = ImageEncoder(model="/no/model", folder=scene.path, cache=str(scene.path / "cache"), **settings)
        encoder.fit(items, nobody)

    return trigger


def another_model(scene: Scene) -> Any:
    encoder = ImageEncoder(model="one", folder=scene.path)
    encoder._mean = np.zeros(3, np.float32)
    encoder.save(scene.path)
    ImageEncoder(model="two", folder=scene.path).restore(scene.path)


CASES = [
    Case("no such column", ConfigError, "got photo", fit(picture, column="photo")),
    Case("image that is not there", DataError, "gone.png (FileNotFoundError)", fit(lambda folder: "gone.png")),
    Case("no image at all", DataError, "none for 1 items", fit(lambda folder: None)),
    Case("no such model", ConfigError, "/no/model", fit(picture)),
    Case("fitted with another model", DataError, "two with other content", another_model),
]
