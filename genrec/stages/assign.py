"""assign: makes a table of semantic IDs from the tokenizer's codes by a collision policy -> ``sids``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from genrec.components import instantiate
from genrec.protocols import CollisionContext, CollisionPolicy, ItemTokenizer
from genrec.stages.stage import Stage, StageRun
from genrec.stages.tokenize import CODES_FILE, FITTED, encoder_if_needed, tokenizer_inputs
from genrec.tokenizers.prefixes import collisions, prefix_groups
from genrec.types import ITEM_ID


def build(run: StageRun) -> dict[str, Any]:
    """Writes the SID table."""
    inputs, artifact = tokenizer_inputs(run.inputs), run.inputs["tokenizer"]
    tokenizer: ItemTokenizer = instantiate(artifact.config["tokenizer"], "tokenizer")
    tokenizer.restore(artifact.path / FITTED)
    codes = np.load(artifact.path / CODES_FILE, allow_pickle=False)

    def costs(rows: np.ndarray, prefix: np.ndarray) -> np.ndarray:
        embeddings = {name: vectors[rows] for name, vectors in inputs.embeddings.items()}
        some = replace(inputs, embeddings=embeddings, items=inputs.items[rows.tolist()])
        return tokenizer.level_costs(some, prefix)  # type: ignore[attr-defined]

    assert inputs.train is not None
    context = CollisionContext(
        item_ids=inputs.items[ITEM_ID],
        train_counts=np.bincount(inputs.train.item_idx, minlength=inputs.num_items),
        costs=costs if hasattr(tokenizer, "level_costs") else None,
        codebooks=artifact.facts["codebooks"],
    )
    policy: CollisionPolicy = instantiate(run.config["collision"], "collision")
    table = policy.resolve(codes, tokenizer.sizes, context)
    table.save(run.folder, inputs.items[ITEM_ID])

    moved = float((table.codes[:, : codes.shape[1]] != codes).any(axis=1).mean())
    before, after = (_collisions(each) for each in (codes, table.codes))
    run.say(
        f"IDs of {table.num_levels} levels, sizes {' x '.join(map(str, table.sizes))}: {after['unique_rate']:.1%} of the items "
        f"have one of their own ({before['unique_rate']:.1%} before), {moved:.1%} moved to other codes"
    )
    figures = {**{f"{key}_before": value for key, value in before.items()}, **after, "moved_rate": moved}
    return {**table.facts(), **figures}


def _collisions(codes: np.ndarray) -> dict[str, Any]:
    """Share of items with an ID of their own; groups of items that share one, the items in them, and the largest."""
    sizes = np.bincount(prefix_groups(codes)[-1])
    return {
        "unique_rate": float((sizes == 1).sum() / len(codes)),
        **{f"collision_{key}": value for key, value in collisions(sizes).items()},
    }


STAGE = Stage(
    name="assign",
    kind="sids",
    version=1,
    reads=("collision",),
    inputs=lambda config: ("dataset", "tokenizer", *encoder_if_needed(config)),
    build=build,
)
