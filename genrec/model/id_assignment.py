"""What tokenizer and collision policy are given when items get their IDs: in a run, and later in a service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genrec.core.dataset import Dataset
from genrec.core.sids import Stream
from genrec.engine.components import component_class, instantiate
from genrec.model.item_vectors import FITTED, read_vectors
from genrec.protocols import CollisionContext, ItemTokenizer, LevelCosts, NeedsArtifacts, StreamTokenizer, TokenizerInputs
from genrec.protocols.tokenizers import Costs
from genrec.types import ITEM_ID

CODES_FILE = "codes.npy"  # of a tokenizer artifact: int32 [items, levels], row number == item_idx


def encoder_if_needed(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns ``("encoder",)`` when the chosen tokenizer looks at embeddings."""
    tokenizer = component_class(config["tokenizer"], "tokenizer")
    return ("encoder",) if isinstance(tokenizer, NeedsArtifacts) and "embeddings" in tokenizer.needs else ()


def assignment_inputs(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the kinds of artifacts that giving IDs needs."""
    return ("dataset", "tokenizer", *encoder_if_needed(config))


def tokenizer_inputs(parts: Mapping[str, Path]) -> TokenizerInputs:
    """Reads what a tokenizer may look at.

    Args:
        parts: kind -> folder of the artifact: ``dataset``, and ``encoder`` where the tokenizer needs it.
    """
    dataset = Dataset.load(parts["dataset"])
    embeddings = read_vectors(parts["encoder"]) if "encoder" in parts else {}
    return TokenizerInputs(embeddings=embeddings, items=dataset.items, train=dataset.train)


def open_tokenizer(node: Mapping[str, Any], folder: Path) -> ItemTokenizer:
    """Opens a fitted tokenizer.

    Args:
        node: its configuration.
        folder: a ``tokenizer`` artifact, or its files in a bundle.
    """
    tokenizer: ItemTokenizer = instantiate(node, "tokenizer")
    tokenizer.restore(folder / FITTED)
    return tokenizer


def encode_streams(tokenizer: ItemTokenizer, inputs: TokenizerInputs) -> Mapping[str, Stream]:
    """Returns further codes of the items by name, from tokenizers that have some."""
    return tokenizer.encode_streams(inputs) if isinstance(tokenizer, StreamTokenizer) else {}


def collision_context(
    inputs: TokenizerInputs, tokenizer: ItemTokenizer, codebooks: str, train_counts: np.ndarray
) -> CollisionContext:
    """Collects what a policy may know of the items of ``inputs``.

    Args:
        inputs: of these items.
        tokenizer: fitted.
        codebooks: hash of its fitted state.
        train_counts: int64 [items].
    """
    return CollisionContext(
        item_ids=inputs.items[ITEM_ID],
        train_counts=train_counts,
        costs=_costs_by(tokenizer, inputs) if isinstance(tokenizer, LevelCosts) else None,
        codebooks=codebooks,
    )


def _costs_by(tokenizer: LevelCosts, inputs: TokenizerInputs) -> Costs:
    def costs(rows: np.ndarray, prefix: np.ndarray) -> np.ndarray:
        return tokenizer.level_costs(inputs.of(rows), prefix)

    return costs
