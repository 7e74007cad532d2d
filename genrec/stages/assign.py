"""assign: makes a table of semantic IDs from the tokenizer's codes by a collision policy -> ``sids``."""

from __future__ import annotations

from typing import Any

import numpy as np

from genrec.core.sids import SIDTable
from genrec.diagnosis.id_health import collisions, prefix_groups
from genrec.engine.components import instantiate
from genrec.engine.stage import Stage, StageContext
from genrec.model.id_assignment import (
    CODES_FILE,
    assignment_inputs,
    collision_context,
    encode_streams,
    open_tokenizer,
    tokenizer_inputs,
)
from genrec.protocols import CollisionPolicy, TokenizerInputs
from genrec.types import ITEM_ID


def build(context: StageContext) -> dict[str, Any]:
    """Writes the SID table."""
    inputs, artifact = tokenizer_inputs(context.parts), context.inputs["tokenizer"]
    tokenizer = open_tokenizer(artifact.config["tokenizer"], artifact.path)
    codes = np.load(artifact.path / CODES_FILE, allow_pickle=False)
    policy: CollisionPolicy = instantiate(context.config["collision"], "collision")
    policy_inputs = collision_context(inputs, tokenizer, artifact.facts["codebooks"], _train_counts(inputs))
    table = policy.resolve(codes, tokenizer.sizes, policy_inputs)
    table = table.with_streams(encode_streams(tokenizer, inputs))
    table.save(context.folder, inputs.items[ITEM_ID])

    moved = float(_elsewhere(table, codes).mean())
    before, after = (_collisions(each) for each in (codes, table.codes))
    context.log(
        f"IDs of {table.num_levels} levels, sizes {' x '.join(map(str, table.sizes))}: {after['unique_rate']:.1%} of the items "
        f"have one of their own ({before['unique_rate']:.1%} before)" + (f", {moved:.1%} moved to other codes" if moved else "")
    )
    figures = {**{f"{key}_before": value for key, value in before.items()}, **after, "moved_rate": moved}
    return {**table.facts(), **figures}


def _elsewhere(table: SIDTable, codes: np.ndarray) -> np.ndarray:
    """[items]: which IDs do not begin with the item's own codes."""
    levels = codes.shape[1] if table.collision_level is None else table.collision_level
    moved: np.ndarray = (table.codes[:, :levels] != codes[:, :levels]).any(axis=1)
    return moved


def _collisions(codes: np.ndarray) -> dict[str, Any]:
    """Share of items with an ID of their own; groups of items that share one, the items in them, and the largest."""
    sizes = np.bincount(prefix_groups(codes)[-1])
    return {
        "unique_rate": float((sizes == 1).sum() / len(codes)),
        **{f"collision_{key}": value for key, value in collisions(sizes).items()},
    }


def extend(context: StageContext) -> dict[str, Any]:
    """Writes the SID table of the run that is extended, and behind it the IDs of the items that came later."""
    assert context.extends is not None
    inputs, artifact, before = tokenizer_inputs(context.parts), context.inputs["tokenizer"], SIDTable.load(context.extends.path)
    table, codes = before, np.load(artifact.path / CODES_FILE, allow_pickle=False)
    tokenizer = open_tokenizer(artifact.config["tokenizer"], artifact.path)
    if added := inputs.num_items - before.num_items:
        rows = np.arange(before.num_items, inputs.num_items)
        policy: CollisionPolicy = instantiate(context.config["collision"], "collision")
        counts, codebooks = _train_counts(inputs)[rows], artifact.facts["codebooks"]
        policy_inputs = collision_context(inputs.of(rows), tokenizer, codebooks, counts)
        table = policy.extend(before, codes[rows], policy_inputs)
        table = table.with_streams(encode_streams(tokenizer, inputs))
    table.save(context.folder, inputs.items[ITEM_ID])
    elsewhere = _elsewhere(table, codes)
    displaced = int(elsewhere[before.num_items :].sum())
    context.log(
        f"{before.num_items:,} IDs stay, {added:,} are new ({displaced:,} of them not at the nearest codes, which were taken); "
        f"{table.unique_rate():.1%} of all items have one of their own"
    )
    return {
        **table.facts(),
        "extends": before.table,
        "added": added,
        "unique_rate_before": float(artifact.facts["unique_rate"]),
        "unique_rate": table.unique_rate(),
        "moved_rate": float(elsewhere.mean()),
    }


def _train_counts(inputs: TokenizerInputs) -> np.ndarray:
    assert inputs.train is not None
    return np.bincount(inputs.train.item_idx, minlength=inputs.num_items)


STAGE = Stage(
    name="assign",
    kind="sids",
    version=1,
    reads=("collision",),
    inputs=assignment_inputs,
    build=build,
    extend=extend,
)
