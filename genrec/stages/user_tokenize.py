"""user_tokenize: codes every user by the fitted item tokenizer and the training part of the history -> ``user_codes``.

Only where ``events.user_codes`` asks for it. Nothing is fitted here, and nothing after the training part is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from genrec.core.dataset import Dataset
from genrec.engine.stage import Stage, StageContext
from genrec.errors import ConfigError
from genrec.model.id_assignment import open_tokenizer
from genrec.model.item_vectors import read_vectors
from genrec.model.user_codes import KIND, user_codes, write_user_codes

HALF_LIFE = "events.half_life"


def inputs(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The histories, the vectors of their items, and the tokenizer.

    Raises:
        ConfigError: when nobody asks for codes.
    """
    if not (config.get("events") or {}).get("user_codes"):
        raise ConfigError("events.user_codes", expected="true", got="false", fix="set events.user_codes=true")
    return ("dataset", "encoder", "tokenizer")


def build(context: StageContext) -> dict[str, Any]:
    """Writes the codes of all users."""
    dataset = Dataset.load(context.inputs["dataset"].path)
    tokenizer = open_tokenizer(context.config["tokenizer"], context.parts["tokenizer"])
    half_life = float(context.config[HALF_LIFE])
    codes = user_codes(tokenizer, read_vectors(context.parts["encoder"]), dataset.train, half_life)
    write_user_codes(context.folder, codes, tokenizer.sizes, half_life)
    coded = codes[codes[:, 0] > 0]
    shares = np.bincount(coded[:, 0]) / max(len(coded), 1)
    perplexity = float(np.exp(-(shares[shares > 0] * np.log(shares[shares > 0])).sum()))
    distinct = len(np.unique(coded, axis=0))
    context.log(
        f"{len(coded):,} of {len(codes):,} users have a code; {distinct:,} are distinct, "
        f"perplexity of the first level {perplexity:.1f} of {tokenizer.sizes[0]:,}"
    )
    return {"num_users": len(coded), "distinct": distinct, "first_level_perplexity": perplexity, "half_life": half_life}


STAGE = Stage(name="user_tokenize", kind=KIND, version=1, reads=("tokenizer", HALF_LIFE), inputs=inputs, build=build)
