"""What evaluate counts: at which k, which targets with which weights, and which facts of the items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl

from genrec.core.dataset import INTERACTIONS_FILE, PART, Dataset
from genrec.core.item_labels import category_column
from genrec.core.sids import SIDTable
from genrec.engine.stage import StageContext
from genrec.errors import ConfigError, DataError, did_you_mean
from genrec.evaluation.evaluated_lists import EvaluatedLists
from genrec.evaluation.measure import ItemFacts
from genrec.metrics.lib.tables import targets_of
from genrec.model.item_vectors import JOINT, read_vectors
from genrec.types import EVENT_TYPE, ITEM_ID, SPLITS, USER_ID, WEIGHT, Split

KEY = "evaluate.target_weights"


def weighted_targets(events: pl.DataFrame, weights: Mapping[str, float] | str) -> pl.DataFrame:
    """The different (``user_id``, ``item_id``) pairs among held-out events, with their ``weight``, in the order of the events.

    An item that a user's held-out part holds several times counts once, with its largest weight. A weight of 0 makes an event
    no target: clicks that are not to be predicted, but stay in the histories.

    Args:
        events: ``user_id``, ``item_id``, and ``event_type`` or ``weight``; the events of one split, users together.
        weights: what each event type is worth, or "weight": the column of that name.

    Raises:
        ConfigError: when the column is not there, or an event type has no weight.
        DataError: when an event has no weight, or a negative one.

    Examples:
        >>> events = pl.DataFrame({"user_id": list("aaa"), "item_id": list("xxy"), "event_type": ["click", "buy", "view"]})
        >>> weighted_targets(events, {"click": 1, "buy": 3, "view": 0}).rows()
        [('a', 'x', 3.0)]
    """
    column = WEIGHT if isinstance(weights, str) else EVENT_TYPE
    if column not in events.columns:
        got = f"columns {', '.join(events.columns)}"
        raise ConfigError(KEY, expected=f"interactions with a column {column!r}", got=got, fix=f"add it, or give {KEY}=null")
    if not isinstance(weights, str):
        types = events[EVENT_TYPE].cast(pl.String)
        worth = pl.DataFrame(
            {EVENT_TYPE: list(weights), WEIGHT: list(weights.values())}, {EVENT_TYPE: pl.String, WEIGHT: float}
        )
        strangers = [kind for kind in types.drop_nulls().unique().sort() if kind not in weights]
        if strangers:
            fix = f"give {KEY}.{strangers[0]}=0 to leave it out"
            raise ConfigError(KEY, expected="a weight for every event type", got=f"none for {', '.join(strangers)}", fix=fix)
        events = events.drop(WEIGHT, strict=False).with_columns(types)
        events = events.join(worth, on=EVENT_TYPE, how="left", maintain_order="left")
    wrong = events.filter(pl.col(WEIGHT).is_null() | (pl.col(WEIGHT) < 0))
    if wrong.height:
        user, item, value = wrong.select(USER_ID, ITEM_ID, column).row(0)
        fix = f"repair it, or leave out {KEY}"
        raise DataError(
            f"event of user {user}, item {item}", expected="a weight of 0 or more", got=f"{column} {value}", fix=fix
        )
    pairs = events.group_by(USER_ID, ITEM_ID, maintain_order=True).agg(pl.col(WEIGHT).max())
    return pairs.filter(pl.col(WEIGHT) > 0)


def check_event_types(weights: Mapping[str, float], events: pl.DataFrame) -> None:
    """Raises ConfigError for a weight of an event type that occurs nowhere in the data: it would do nothing."""
    types = events[EVENT_TYPE].cast(pl.String).drop_nulls().unique().to_list()
    for kind in weights:
        if kind not in types:
            raise ConfigError(f"{KEY}.{kind}", expected="an event type of the data", got=kind, fix=did_you_mean(kind, types))


def usable_ks(ks: Sequence[int], lists: EvaluatedLists, log: Callable[[str], None]) -> list[int]:
    """Returns those of ``ks`` that are at most as long as the lists.

    Raises:
        ConfigError: when none is.
    """
    reached = [k for k in ks if k <= lists.length]
    if not reached:
        length = f"{lists.length} ({'recommend.k' if lists.source == 'run' else 'the longest list'})"
        raise ConfigError("evaluate.ks", expected=f"a k of at most {length}", got=list(ks), fix="ask for longer lists")
    if len(reached) < len(ks):
        left_out = ", ".join(str(k) for k in ks if k > lists.length)
        log(f"lists hold {lists.length} items, so there is nothing at k = {left_out}")
    return reached


def headline_k(ks: Sequence[int]) -> int:
    """The k of the sentence on whether the model beats the baselines: 10, or the nearest smaller one, or the smallest."""
    return max((k for k in ks if k <= 10), default=min(ks))


def held_out_targets(
    context: StageContext, dataset: Dataset, weights: Mapping[str, float] | str | None
) -> dict[Split, pl.DataFrame]:
    """The (``user_id``, ``item_id``) pairs to predict, with a ``weight`` where they are not worth the same.

    Raises:
        ConfigError, DataError: when the events do not have such weights (see ``weighted_targets``).
    """
    if weights is None:
        return {split: targets_of(dataset, split) for split in SPLITS}
    events = pl.read_parquet(context.inputs["dataset"].path / INTERACTIONS_FILE, glob=False)
    targets = {split: weighted_targets(events.filter(pl.col(PART).cast(pl.String) == split), weights) for split in SPLITS}
    if isinstance(weights, Mapping):
        check_event_types(weights, events)
    for split, pairs in targets.items():
        if left_out := targets_of(dataset, split).height - pairs.height:
            context.log(f"{split}: {pairs.height:,} targets; {left_out:,} more held-out items weigh 0 and are none")
    return targets


def item_facts(context: StageContext, dataset: Dataset, category: str | None) -> tuple[ItemFacts, dict[str, str]]:
    """Returns what figures beyond accuracy need, and figure -> why it is left out, for those that lack it."""
    column = category_column(dataset.items, category)
    vectors = read_vectors(context.parts["encoder"])[JOINT] if "encoder" in context.inputs else None
    codes = None
    if "sids" in context.inputs:
        sids = SIDTable.load(context.inputs["sids"].path)
        codes = sids.content.codes
        if sids.content is sids and sids.collision_level is not None:
            codes = np.delete(codes, sids.collision_level, axis=1)
    facts = ItemFacts(dataset, column, vectors, codes)
    lacking = {
        "diversity": "the run makes no item vectors" if vectors is None else None,
        "prefix_diversity": "the run makes no semantic IDs" if codes is None else None,
        "miscalibration": "the items have no categories that tell them apart" if facts.shares is None else None,
    }
    return facts, {figure: why for figure, why in lacking.items() if why}
