"""condition: encodes what was asked for in words before events, with the fitted encoder -> ``conditions``.

Only where ``events.text`` names a column. Each distinct text is encoded once; nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from genrec.core.dataset import Dataset
from genrec.engine.components import instantiate
from genrec.engine.stage import Stage, StageContext
from genrec.errors import ConfigError
from genrec.model.event_texts import distinct_texts, write_texts
from genrec.model.item_vectors import FITTED
from genrec.protocols import ItemEncoder, text_part


def inputs(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts, and what encodes them.

    Raises:
        ConfigError: when there are none to encode.
    """
    if not (config.get("events") or {}).get("text"):
        expected = "a column of the interactions with what was asked for"
        raise ConfigError("events.text", expected=expected, got="null", fix="name it: events.text=COLUMN")
    return ("dataset", "encoder")


def build(context: StageContext) -> dict[str, Any]:
    """Writes rows.npy (int32 [events], ``PAD`` where nothing was asked for) and vectors.safetensors ([texts, dim])."""
    dataset = Dataset.load(context.inputs["dataset"].path)
    encoder: ItemEncoder = instantiate(context.config["encoder"], "encoder")
    reads_texts = text_part(encoder)
    encoder.restore(context.parts["encoder"] / FITTED)
    texts = distinct_texts(dataset)
    vectors = np.asarray(reads_texts.encode_texts(texts.words), dtype=np.float32)
    write_texts(context.folder, texts.rows, vectors)
    asked, empty = texts.rows >= 0, ~vectors.any(axis=1)
    context.log(f"{len(texts.words):,} texts, asked for before {asked.mean():.0%} of the events: vectors of {vectors.shape[1]}")
    if empty.any():
        context.log(f"note: {int(empty.sum()):,} of them hold no word that the encoder knows: they count as none")
    return {"num_texts": len(texts.words), "dim": int(vectors.shape[1]), "asked_rate": float(asked.mean())}


STAGE = Stage(name="condition", kind="conditions", version=1, reads=("encoder",), inputs=inputs, build=build)
