"""Which pretrained model it is: vectors of different models must not meet."""

from __future__ import annotations

import hashlib
import json

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
