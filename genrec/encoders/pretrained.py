"""Which pretrained model it is: vectors of different models must not meet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from genrec.paths import expanded


def model_identity(model: str, revision: str | None) -> str:
    """Content hash of a local folder, else a hash of hub id and revision: names the model's folder in the cache."""
    digest, folder = hashlib.sha256(), expanded(model)
    if folder.is_dir():
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            digest.update(str(path.relative_to(folder)).encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    else:
        digest.update(json.dumps([model, revision]).encode())
    return digest.hexdigest()[:16]


def is_model_of(state: Mapping[str, Any], model: str, revision: str | None) -> bool:
    """Whether this model made the vectors that an encoder was saved with.

    Of a hub model that is given as a folder by now, the contents of the folder cannot tell: it is taken for the one.

    Args:
        state: ``model``, ``revision`` and ``identity`` as they were.
        model: a folder or hub id.
        revision: of a hub model.
    """
    came_from_hub = state["identity"] == _of_hub(str(state["model"]), state.get("revision"))
    return model_identity(model, revision) == state["identity"] or (came_from_hub and expanded(model).is_dir())


def _of_hub(model: str, revision: str | None) -> str:
    return hashlib.sha256(json.dumps([model, revision]).encode()).hexdigest()[:16]
