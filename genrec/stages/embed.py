"""embed: fits the item encoder on the catalogue and the training sequences, and encodes every item -> ``encoder``."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np

from genrec.core.dataset import Dataset
from genrec.engine.components import instantiate
from genrec.engine.stage import Stage, StageContext
from genrec.errors import DataError
from genrec.model.item_vectors import FITTED, JOINT, encode_items, read_vectors, write_vectors
from genrec.protocols import FitNotes, ItemEncoder
from genrec.types import ITEM_ID


def build(context: StageContext) -> dict[str, Any]:
    """Writes ``fitted/`` (all that encoding new items takes) and ``vectors/<source>.safetensors``, row number == item_idx."""
    dataset = Dataset.load(context.inputs["dataset"].path)
    encoder: ItemEncoder = instantiate(context.config["encoder"], "encoder")
    encoder.fit(dataset.items, dataset.train)
    for note in encoder.notes if isinstance(encoder, FitNotes) else ():
        context.log(f"note: {note}")
    (context.folder / FITTED).mkdir()
    encoder.save(context.folder / FITTED)
    return _write(context, dataset, encoder, encode_items(encoder, dataset.items))


def extend(context: StageContext) -> dict[str, Any]:
    """The fitted encoder as it is; the vectors too, and behind them those of the items that came later."""
    assert context.extends is not None
    dataset, vectors = Dataset.load(context.inputs["dataset"].path), read_vectors(context.extends.path)
    shutil.copytree(context.extends.path / FITTED, context.folder / FITTED)
    encoder: ItemEncoder = instantiate(context.config["encoder"], "encoder")
    encoder.restore(context.folder / FITTED)
    later = dataset.items[len(vectors[JOINT]) :]
    if later.height:
        new = encode_items(encoder, later)
        vectors = {name: np.concatenate([rows, new[name]]) for name, rows in vectors.items()}
    return _write(context, dataset, encoder, vectors)


def _write(context: StageContext, dataset: Dataset, encoder: ItemEncoder, vectors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    for name, rows in vectors.items():
        _check_finite(name, rows, dataset)
    write_vectors(context.folder, vectors)
    dims = {name: rows.shape[1] for name, rows in vectors.items()}
    present = encoder.present(dataset.items)
    context.log("vectors: " + ", ".join(f"{name} {dim}" for name, dim in dims.items()) + f" for {dataset.num_items:,} items")
    if not present.all():
        context.log(f"{int((~present).sum()):,} items are unknown to every source and got its fallback")
    return {"num_items": dataset.num_items, "dims": dims, "present_rate": float(present.mean())}


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
    version=2,  # HTML is taken out of texts; scripts without blanks
    reads=("encoder",),
    inputs=lambda config: ("dataset",),
    build=build,
    extend=extend,
)
