"""prepare: reads a data source, checks, orders, filters and splits its events -> ``dataset``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from genrec.core.dataset import INTERACTIONS_FILE, PART, Dataset, Sequences
from genrec.data.by_column import ByColumn
from genrec.data.event_columns import EventColumns
from genrec.data.filters import Filters, require_interactions
from genrec.data.lib.canonical import canonicalize
from genrec.data.lib.events import Events, Removed, catalogue_after, target_facts
from genrec.data.order import Order
from genrec.engine.components import instantiate
from genrec.engine.stage import Stage, StageContext
from genrec.errors import ConfigError
from genrec.protocols import DataSource, RawData, ReadsColumns, Splitter
from genrec.types import EVENT_TYPE, ITEM_ID, ITEM_IDX, POSITION, RATING, SPLIT, TIMESTAMP, USER_ID, USER_IDX, WEIGHT

NO_COLUMNS = {"_target_": "genrec.data.event_columns.EventColumns"}
MOSTLY = 0.9  # a share of events in ties from which on the time is too coarse to give an order


def build(context: StageContext) -> dict[str, Any]:
    """Writes the dataset, and ``interactions.parquet``: every event with its part, in the order of the histories."""
    source: DataSource = instantiate(context.config["data"], "data")
    filters: Filters = instantiate(context.config["filters"], "filters")
    order: Order = instantiate(context.config["order"], "order")
    splitter: Splitter | ByColumn = instantiate(context.config["split"], "split")
    _require_column(context.config["data"], splitter)

    columns: EventColumns = instantiate(context.config.get("events", NO_COLUMNS), "events")
    extended = Dataset.load(context.extends.path) if context.extends else None
    before = extended.items if extended else None
    further = list(columns.kinds)
    raw = source.load_with(further) if further and isinstance(source, ReadsColumns) else source.load()
    raw = canonicalize(
        raw,
        allow_missing=filters.missing == "drop",
        duplicates=filters.duplicates == "drop",
        further={name: kind for name, kind in columns.kinds.items() if kind != "time"},
    )
    _say_source(context, raw, type(source).__name__)
    if before is not None and raw.items is not None:
        raw = replace(raw, items=catalogue_after(before, raw.items))
    raw, removed = filters.before_order(raw, order.key(raw.interactions))
    events = order.sort(Events.of(raw), raw.files.get("interactions", "interactions"))
    events, more = filters.apply(events)
    if isinstance(splitter, ByColumn):
        events, late = splitter.ordered(events, raw.files.get("interactions", "interactions"))
        more += late
    elif SPLIT in events.table.columns:
        context.log(f"note: the data says of each event which part it is of; split=column honours that (now: {splitter})")
    events, short = _splittable(events, splitter)
    removed += more + short
    if before is not None:
        events = events.after(before)
        added = events.items.height - before.height
        context.log(f"the {before.height:,} items of the run that is extended keep their places; {added:,} are new")
    context.log("filters: none" if not removed else "filters, in this order:")
    for line in removed:
        context.log(f"  {line}")

    dataset = _dataset(context, events, order, splitter, raw.notes, removed)
    dataset = columns.added_to(dataset, events.table, raw.users, extended.schema if extended else None)
    if dataset.schema or dataset.event_texts is not None:
        dataset = replace(dataset, facts={**dataset.facts, "columns": _say_columns(context, dataset)})
    dataset.save(context.folder)
    _interactions(events, dataset).write_parquet(context.folder / INTERACTIONS_FILE)
    for name, write in raw.extra_files.items():
        write(context.folder / name)
    return dataset.facts


def _require_column(data: Mapping[str, Any], splitter: Splitter | ByColumn) -> None:
    parts = [f"data.{part}" for part in ("validation", "test") if data.get(part)]
    if parts and not isinstance(splitter, ByColumn):
        raise ConfigError(
            "split",
            expected=f"column, because {parts[0]} is a part of its own",
            got=type(splitter).__name__,
            fix="set split=column, or put all events into data.interactions",
        )


def _splittable(events: Events, splitter: Splitter | ByColumn) -> tuple[Events, list[Removed]]:
    """Events of the users that the split can use."""
    users = events.users.with_columns(num_events=pl.Series(np.diff(events.offsets)))
    if isinstance(splitter, ByColumn):
        held_out = np.bincount(events.user_idx, weights=events.table[SPLIT].to_numpy() > 0, minlength=users.height)
        users = users.with_columns(num_held_out=pl.Series(held_out.astype(np.int64)))
    usable = splitter.keep(users)
    if usable.all():
        return events.compact(), []
    after = events.where(usable[events.user_idx]).compact()
    fix = "check that data.user_id names the users: no user has enough events for this split"
    require_interactions("split", after.table.height, events.table.height, fix)
    removed = (events.table.height - after.table.height, int((~usable).sum()), events.items.height - after.items.height)
    return after, [Removed("split (users with too few events)", *removed)]


def _dataset(
    context: StageContext,
    events: Events,
    order: Order,
    splitter: Splitter | ByColumn,
    notes: list[tuple[str, int]],
    removed: list[Removed],
) -> Dataset:
    offsets = events.offsets
    timestamps = events.table[TIMESTAMP].cast(pl.Float64).to_numpy() if TIMESTAMP in events.table.columns else None
    if timestamps is not None and (missing := events.table[TIMESTAMP].null_count()):
        context.log(
            f"times: {missing:,} of {events.table.height:,} are missing: unknown to columns of kind time and to "
            "generator.time_gaps; all else goes without times"
        )
        timestamps = None
    if isinstance(splitter, ByColumn):
        train_ends, validation_ends, split = splitter.split_parts(offsets, events.table[SPLIT].to_numpy())
    else:
        train_ends, validation_ends, split = splitter.split(offsets, timestamps)
    dataset = Dataset(
        items=events.items,
        users=events.users,
        events=Sequences(events.item_idx.astype(np.int32), offsets),
        train_ends=train_ends,
        validation_ends=validation_ends,
        timestamps=timestamps,
    )
    facts: dict[str, Any] = {
        "num_users": dataset.num_users,
        "num_items": dataset.num_items,
        "num_interactions": events.table.height,
        "cold_items": int((dataset.train_counts == 0).sum()),
        "order": order.describe(events.table),
        "split": split,
        "targets": target_facts(dataset),
        "removed": [entry.facts() for entry in removed],
        "notes": [{"what": what, "count": count} for what, count in notes],
    }
    _say_dataset(context, facts, offsets, train_ends)
    _warn_of_order(context, events, order, facts["order"]["tied_events"])
    return replace(dataset, facts=facts)


def _warn_of_order(context: StageContext, events: Events, order: Order, tied: int) -> None:
    """Says what makes the order of histories doubtful, since every result depends on it."""
    columns, key = events.table.columns, order.key(events.table)
    if key is None and order.by == "auto":
        context.log(
            "WARNING: no time and no position: histories are in the order of the file's rows; name the time with "
            "data.timestamp=COLUMN, or say with order.by=input_order that the rows are in order"
        )
    elif key == TIMESTAMP and order.by == "auto" and POSITION in columns:
        context.log("order: there is a position too; it counts where times are equal (order.by=position makes it count alone)")
    if key == TIMESTAMP and tied > MOSTLY * events.table.height and POSITION not in columns:
        context.log(
            f"WARNING: {tied:,} of {events.table.height:,} events share their time with another one of the same user; if there "
            "is a finer time, name it with data.timestamp=COLUMN"
        )


def _interactions(events: Events, dataset: Dataset) -> pl.DataFrame:
    users = dataset.events.user_idx
    position = np.arange(len(users))
    part = (position >= dataset.train_ends[users]).astype(np.int8) + (position >= dataset.validation_ends[users])
    optional = [name for name in (TIMESTAMP, POSITION, RATING, EVENT_TYPE, WEIGHT) if name in events.table.columns]
    return pl.DataFrame(
        [
            events.users[USER_ID].gather(events.table[USER_IDX]),
            events.items[ITEM_ID].gather(events.table[ITEM_IDX]),
            events.table[ITEM_IDX].cast(pl.Int32),
            *(events.table[name] for name in optional),
            pl.Series(PART, ["train", "validation", "test"], dtype=pl.Categorical).gather(part),
        ]
    )


def _say_columns(context: StageContext, dataset: Dataset) -> dict[str, Any]:
    facts: dict[str, Any] = {"events": {}, "users": {}}
    for part, columns in (("events", dataset.schema.columns), ("users", dataset.schema.users)):
        for column in columns:
            size = f"{column.num_codes - 1:,} values" if column.num_codes else f"mean {column.mean:.4g}, std {column.std:.4g}"
            asked = ", may be asked for" if part == "events" and column.name in dataset.schema.request else ""
            context.log(f"column of {part}: {column.name}, {column.kind}, {size}{asked}")
            facts[part][column.name] = {"kind": column.kind, "values": column.num_codes - 1 if column.num_codes else None}
    if dataset.event_texts is not None:
        count = int(dataset.event_texts.is_not_null().sum())
        context.log(f"texts: {count:,} of {len(dataset.event_texts):,} events have one")
        facts["texts"] = count
    return facts


def _say_source(context: StageContext, raw: RawData, source: str) -> None:
    file = raw.files.get("interactions", source)
    context.log(f"read {raw.interactions.height:,} interactions of {raw.interactions[USER_ID].n_unique():,} users from {file}")
    if raw.items is None:
        context.log("no catalogue: the items are those that occur")
    else:
        context.log(f"read {raw.items.height:,} items from {raw.files.get('items', source)}")
    for what, count in raw.notes:
        context.log(f"  {what}: {count:,}")


def _say_dataset(context: StageContext, facts: dict[str, Any], offsets: np.ndarray, train_ends: np.ndarray) -> None:
    order, split, lengths = facts["order"], facts["split"], np.diff(offsets)
    context.log(f"order: by {order['by']}; equal keys by {order['ties']}; {order['tied_events']:,} events are in ties")
    details = ", ".join(f"{key} {value}" for key, value in split.items() if key != "rule")
    context.log(f"split: {split['rule']}" + (f" ({details})" if details else ""))
    context.log(
        f"dataset: {facts['num_users']:,} users, {facts['num_items']:,} items ({facts['cold_items']:,} never in training), "
        f"{facts['num_interactions']:,} interactions ({int((train_ends - offsets[:-1]).sum()):,} to train on), "
        f"history length {lengths.min()} / {np.median(lengths):g} / {lengths.max()} (min / median / max)"
    )
    for name, count in facts["targets"].items():
        if count["targets"]:
            context.log(
                f"{name}: {count['targets']:,} targets of {count['users']:,} users; {count['repeat_rate']:.1%} are repeats of "
                f"their history; {count['unseen_items']:,} are of items never seen in training"
            )


STAGE = Stage(
    name="prepare",
    kind="dataset",
    version=2,
    reads=("data", "filters", "order", "split", "events"),
    inputs=lambda config: (),
    build=build,
    extend=build,  # the items of the run that is extended come first and keep their item_idx, whatever filters say of them
)
