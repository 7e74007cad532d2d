"""A rehearsal: generator and objective are built in small over a made-up catalogue, so that what they refuse is told first.

Constructors of generators wait for the semantic IDs, and an objective's ``check`` for the generator: both would speak after
everything before training has run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import torch

from genrec.core.sids import SIDTable, Stream
from genrec.core.trie import PrefixTrie
from genrec.engine.components import TARGET, component_class, instantiate, parameters
from genrec.types import ITEM_ID

NUM_ITEMS = 6
# Sizes that no check looks at, as small as they may be; pairs of settings were checked before.
SMALL = {
    "feedforward_dim": 8,
    "feedforward_mult": 1,
    "head_dim": 8,
    "max_history_len": 4,
    "num_decoder_layers": 1,
    "num_encoder_layers": 1,
    "num_history_layers": 1,
    "num_layers": 1,
    "rank": 2,
}


class _Labels(defaultdict[str, np.ndarray]):
    """Labels under every name: which columns the items have is known later."""

    def __init__(self) -> None:
        super().__init__(lambda: np.zeros(NUM_ITEMS, dtype=np.int64))

    def __contains__(self, name: object) -> bool:
        return True


def rehearse(config: Mapping[str, Any], *, has_streams: bool) -> None:
    """Builds the generator and the objective, and lets the one check the other.

    Args:
        config: the whole tree.
        has_streams: the tokenizer makes several streams of codes.

    Raises:
        ConfigError: as their constructors and checks do.
    """
    node = config["generator"]
    generator_class = component_class(node, "generator")
    if "model" in parameters(generator_class):  # a language model is slow to read, whatever its size
        return
    heads = node.get("num_heads", 1)
    small = {key: value for key, value in SMALL.items() if key in node}
    if "dim" in node:
        small["dim"] = 2 * heads
    codes = np.stack(np.unravel_index(np.arange(NUM_ITEMS), (2, 2, 2)), axis=1)
    sids = SIDTable(codes, (2, 2, 2))
    if has_streams:
        sids = sids.with_streams({"other": Stream(np.zeros((NUM_ITEMS, 1), dtype=np.int64), (1,))})
    runtime: dict[str, Any] = {
        "sids": sids,
        "trie": PrefixTrie.build(sids),
        "num_items": NUM_ITEMS,
        "train_counts": np.ones(NUM_ITEMS, dtype=np.int64),
        "item_vectors": np.ones((NUM_ITEMS, 4), dtype=np.float32),
        "item_labels": _Labels(),
        "catalog": pl.DataFrame({ITEM_ID: [str(item) for item in range(NUM_ITEMS)]}),
    }
    with torch.random.fork_rng(devices=[]):
        generator = instantiate({**node, **small, TARGET: node[TARGET]}, "generator", **runtime)
        objective = instantiate(config["objective"], "objective", **runtime)
        objective.check(generator)
