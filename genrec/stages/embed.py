"""embed: fits the item encoder on the catalogue and the training sequences, and encodes every item -> ``encoder``."""

from __future__ import annotations

from typing import Any

import numpy as np
from safetensors.numpy import save_file
from safetensors.torch import load_file

from genrec.artifacts import Artifact
from genrec.components import instantiate
from genrec.dataset import Dataset
from genrec.errors import DataError
from genrec.protocols import ItemEncoder
from genrec.stages.stage import Stage, StageRun
from genrec.types import ITEM_ID

JOINT = "item"  # the encoder's own output; an encoder of several sources names those beside it
FITTED, VECTORS = "fitted", "vectors"


def build(run: StageRun) -> dict[str, Any]:
    """Writes ``fitted/`` (all that encoding new items takes) and ``vectors/<source>.safetensors``, row number == item_idx."""
    dataset = Dataset.load(run.inputs["dataset"].path)
    encoder: ItemEncoder = instantiate(run.config["encoder"], "encoder")
    encoder.fit(dataset.items, dataset.train)
    for note in getattr(encoder, "notes", ()):
        run.say(f"note: {note}")
    vectors = (
        encoder.encode_named(dataset.items) if hasattr(encoder, "encode_named") else {JOINT: encoder.encode(dataset.items)}
    )
    (run.folder / FITTED).mkdir()
    (run.folder / VECTORS).mkdir()
    encoder.save(run.folder / FITTED)
    for name, rows in vectors.items():
        _check_finite(name, rows, dataset)
        save_file({VECTORS: np.ascontiguousarray(rows, dtype=np.float32)}, run.folder / VECTORS / f"{name}.safetensors")
    dims = {name: rows.shape[1] for name, rows in vectors.items()}
    present = encoder.present(dataset.items)
    run.say("vectors: " + ", ".join(f"{name} {dim}" for name, dim in dims.items()) + f" for {dataset.num_items:,} items")
    if not present.all():
        run.say(f"{int((~present).sum()):,} items are unknown to every source and got its fallback")
    return {"num_items": dataset.num_items, "dims": dims, "present_rate": float(present.mean())}


def read_vectors(artifact: Artifact) -> dict[str, np.ndarray]:
    """Source -> float32 [items, dim] of an encoder artifact, mapped from disk: only what is looked at is read."""
    return {path.stem: load_file(path)[VECTORS].numpy() for path in sorted((artifact.path / VECTORS).glob("*.safetensors"))}


def _check_finite(name: str, rows: np.ndarray, dataset: Dataset) -> None:
    finite = np.isfinite(rows)
    if not finite.all():
        row, column = (int(x) for x in np.argwhere(~finite)[0])
        raise DataError(
            f"encoder: vectors {name}, item {dataset.items[ITEM_ID][row]}",
            expected="finite numbers",
            got=float(rows[row, column]),
            fix="check the encoder's input for this item",
        )


STAGE = Stage(
    name="embed",
    kind="encoder",
    version=1,
    reads=("encoder",),
    inputs=lambda config: ("dataset",),
    build=build,
)
