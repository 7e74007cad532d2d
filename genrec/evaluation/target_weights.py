"""Targets that are not worth the same, such as purchases and clicks."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from genrec.errors import ConfigError, DataError, did_you_mean
from genrec.types import EVENT_TYPE, ITEM_ID, USER_ID, WEIGHT

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
    known = events[EVENT_TYPE].cast(pl.String).drop_nulls().unique().to_list()
    for kind in weights:
        if kind not in known:
            raise ConfigError(f"{KEY}.{kind}", expected="an event type of the data", got=kind, fix=did_you_mean(kind, known))
