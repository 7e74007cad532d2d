"""Slices of the targets: rare items, long histories, a category, ...; and the figures of recommenders on each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int64

from genrec.core.dataset import Dataset
from genrec.core.event_schema import UNKNOWN, Column
from genrec.core.item_labels import PART, PLACE, category_parts
from genrec.errors import ConfigError, did_you_mean
from genrec.evaluation.measure import ACCURACY, accuracy
from genrec.statistics.uncertainty import bootstrap_intervals
from genrec.types import ITEM_ID, ITEM_IDX, USER_ID, USER_IDX, Split

LARGEST = 10  # labels of a text column that are shown by name
OTHER, NONE = "other", "(none)"
COMMON = 0.95  # a label that so many items share does not separate them
LENGTHS = ((0, "no history"), (1, "1 to 4"), (5, "5 to 9"), (10, "10 to 19"), (20, "20 to 49"), (50, "50 or more"))
DAY = 86_400.0
GAPS = (
    (0, "less than a day"),
    (DAY, "1 to 7 days"),
    (7 * DAY, "7 to 30 days"),
    (30 * DAY, "30 days to a year"),
    (365 * DAY, "a year or more"),
)


@dataclass(frozen=True)
class Slice:
    """A way to divide the targets.

    Args:
        name: what the parts differ in.
        labels: [targets], text; null: in no part.
        parts: the labels in the order to show them in; those of no target are left out.
    """

    name: str
    labels: pl.Series
    parts: tuple[str, ...]

    def __iter__(self) -> Iterator[tuple[str, pl.Series]]:
        """Yields each part's label, and which targets are in it."""
        for part in self.parts:
            inside = (self.labels == part).fill_null(False)
            if inside.any():
                yield part, inside


def slices(
    dataset: Dataset, split: Split, targets: pl.DataFrame, *, category: str | None, columns: Sequence[str] = ()
) -> Iterator[Slice]:
    """The divisions of a split's targets.

    - item popularity: head, mid and tail hold a third of the training events each, from the most popular item on; cold items
      have none. Items with equally many events are in the same band.
    - history length: events before the targets.
    - time since the last event: from the end of the history to the target; without times, or a history, nothing.
    - each column of events that is a category, such as the kind of event: what it says of the target's own event.
    - the category: of the labels of an item's category text, the first that tells items apart; ten by themselves, "other".
    - each of ``columns``: numbers by quartile of the catalogue, text like the category. The labels with the most training
      events are shown by themselves, so they are the same for every split and model.

    Args:
        dataset: to look them up in.
        split: whose targets.
        targets: (``user_id``, ``item_id``) pairs.
        category: column of the items, or None.
        columns: of the items.

    Raises:
        ConfigError: for a column that the items do not have.
    """
    for column in columns:
        if column not in dataset.items.columns:
            fix = did_you_mean(column, dataset.items.columns)
            raise ConfigError("evaluate.slice_columns", expected="columns of the items", got=column, fix=fix)
    rows = targets.join(_numbered(dataset.item_ids, ITEM_IDX), on=ITEM_ID, how="left", maintain_order="left")
    rows = rows.join(_numbered(dataset.user_ids, USER_IDX), on=USER_ID, how="left", maintain_order="left")
    item, user = rows[ITEM_IDX].to_numpy(), rows[USER_IDX].to_numpy()

    bands = ("head", "mid", "tail", "cold")
    yield Slice("item popularity", pl.Series(bands).gather(popularity_bands(dataset.train_counts)[item]), bands)
    yield _binned("history length", pl.Series(dataset.histories(split).lengths[user]), LENGTHS)
    if dataset.timestamps is not None:
        yield _binned("time since the last event", _gaps(dataset, split, user, item), GAPS)
    for of_events in dataset.schema.columns:
        if of_events.kind == "category":
            yield _by_event(dataset, split, of_events, user, item)
    if category:
        yield _by_label(category, leading_parts(dataset.items[category]), dataset.train_counts, item)
    for column in columns:
        values = dataset.items[column]
        if values.dtype.is_numeric():
            yield _by_quartile(column, values, item)
        else:
            yield _by_label(column, values.cast(pl.String), dataset.train_counts, item)


def popularity_bands(train_counts: Int64[np.ndarray, " items"]) -> Int64[np.ndarray, " items"]:
    """0 head, 1 mid, 2 tail, 3 cold: by the share of the training events that more popular items have, in thirds.

    Examples:
        >>> popularity_bands(np.array([1, 4, 0, 3, 1])).tolist()
        [2, 0, 3, 1, 2]
    """
    values, counts = np.unique(train_counts, return_counts=True)
    events = (values * counts)[::-1]
    above = (np.cumsum(events) - events)[::-1] / max(events.sum(), 1)
    band = np.minimum((above * 3).astype(np.int64), 2)[np.searchsorted(values, train_counts)]
    return np.where(train_counts == 0, 3, band)


def leading_parts(column: pl.Series) -> pl.Series:
    """The first label of each item at the first place where labels tell items apart; null without a label there.

    Examples:
        >>> leading_parts(pl.Series(["Shop > Shoes > Boots", "Shop > Hats", None])).to_list()
        ['Shoes', 'Hats', None]
    """
    parts = category_parts(column)
    rows = pl.DataFrame({ITEM_IDX: np.arange(len(column), dtype=np.uint32)})
    for _, at_place in sorted(parts.group_by(PLACE), key=lambda group: group[0]):
        if at_place[PART].value_counts()["count"].max() < COMMON * at_place.height:  # type: ignore[operator]
            return rows.join(at_place, on=ITEM_IDX, how="left", maintain_order="left")[PART]
    return pl.repeat(None, len(column), dtype=pl.String, eager=True)


def _binned(name: str, values: pl.Series, edges: Sequence[tuple[float, str]]) -> Slice:
    lows, labels = zip(*edges, strict=True)
    bins = np.searchsorted(lows, values.fill_null(0).to_numpy(), side="right") - 1
    binned = pl.Series(labels).gather(np.maximum(bins, 0))  # times may run backwards where the order is not theirs
    return Slice(name, binned.set(values.is_null(), None), labels)


def _gaps(dataset: Dataset, split: Split, user: np.ndarray, item: np.ndarray) -> pl.Series:
    """Seconds from the last event of the history to the (first) event of each target; null without a history."""
    assert dataset.timestamps is not None
    starts = np.asarray(dataset.events.offsets[:-1])
    ends = starts + dataset.histories(split).lengths
    times, position = np.asarray(dataset.timestamps), _positions(dataset, split, user, item)
    gaps = times[position.fill_null(0).to_numpy()] - times[np.maximum(ends - 1, 0)][user]
    return pl.Series(gaps).set(position.is_null() | pl.Series((ends <= starts)[user]), None)


def _by_event(dataset: Dataset, split: Split, column: Column, user: np.ndarray, item: np.ndarray) -> Slice:
    """What a column says of the (first) event of each target; in the order of training events, as labels of items are."""
    words, codes = pl.Series([NONE, *column.vocabulary]), np.asarray(dataset.events.columns[column.name])
    counts = np.bincount(dataset.train.columns[column.name], minlength=column.num_codes)
    position = _positions(dataset, split, user, item)
    of_targets = np.where(position.is_null().to_numpy(), UNKNOWN, codes[position.fill_null(0).to_numpy()])
    return _by_label(f"{column.name} of the target", words, counts, of_targets)


def _positions(dataset: Dataset, split: Split, user: np.ndarray, item: np.ndarray) -> pl.Series:
    """Where the (first) event of each target is among all events; null where there is none."""
    targets = dataset.targets(split)
    ends = np.asarray(dataset.events.offsets[:-1]) + dataset.histories(split).lengths
    position = np.repeat(ends, targets.lengths) + np.arange(len(targets.item_idx))
    position -= np.repeat(targets.offsets[:-1], targets.lengths)
    events = pl.DataFrame(
        {USER_IDX: targets.user_idx, ITEM_IDX: targets.item_idx.astype(np.int64), "position": position}
    ).unique([USER_IDX, ITEM_IDX], keep="first", maintain_order=True)
    pairs = pl.DataFrame({USER_IDX: user.astype(np.int64), ITEM_IDX: item.astype(np.int64)})
    return pairs.join(events, on=[USER_IDX, ITEM_IDX], how="left", maintain_order="left")["position"]


def _by_label(name: str, labels: pl.Series, train_counts: np.ndarray, item: np.ndarray) -> Slice:
    labels = labels.fill_null(NONE).alias("label")
    events = pl.DataFrame([labels, pl.Series("events", train_counts)]).group_by("label").agg(pl.col("events").sum())
    largest = events.filter(pl.col("label") != NONE).sort(-pl.col("events"), "label")["label"][:LARGEST].to_list()
    shown = pl.Series([*largest, NONE])
    grouped = pl.select(pl.when(labels.is_in(shown.implode())).then(labels).otherwise(pl.lit(OTHER))).to_series()
    return Slice(name, grouped.gather(item), (*largest, OTHER, NONE))


def _by_quartile(name: str, values: pl.Series, item: np.ndarray) -> Slice:
    numbers = values.cast(pl.Float64).fill_nan(None)
    inner = [numbers.quantile(share, "linear") or 0.0 for share in (0.25, 0.5, 0.75)]
    low, middle, high = (f"{edge:.4g}" for edge in inner)
    labels = (f"below {low}", f"{low} to {middle}", f"{middle} to {high}", f"{high} or more", NONE)
    quarter = np.searchsorted(inner, numbers.fill_null(0.0).to_numpy(), side="right")
    quarter[numbers.is_null().to_numpy()] = 4
    return Slice(name, pl.Series(labels).gather(quarter[item]), tuple(dict.fromkeys(labels)))


def _numbered(ids: pl.Series, name: str) -> pl.DataFrame:
    return pl.DataFrame({ids.name: ids}).with_row_index(name)


SLICED = {name: ACCURACY[name] for name in ("recall", "ndcg")}


def measure_slices(
    slices: Iterable[Slice], targets: pl.DataFrame, hits: Mapping[str, pl.DataFrame], *, k: int, draws: int, seed: int
) -> list[dict[str, Any]]:
    """Recall and ndcg at ``k`` of the targets in each part, with bootstrap intervals over the users that have one.

    The other targets of a user are not counted there, neither as hits nor in the divisor.

    Args:
        slices: of ``targets``.
        targets: (``user_id``, ``item_id``) pairs, perhaps with a ``weight``.
        hits: recommender -> the rows of its lists that are targets, with tie columns.
        k: list length.
        draws: bootstrap resamples.
        seed: of the bootstrap.

    Returns:
        One entry a part: ``slice``, ``name``, ``targets`` and ``users`` (numbers), ``share`` of all targets, ``rows``
        (recommender -> metric -> figure) and ``intervals`` (the same, low and high).
    """
    rows = []
    for division in slices:
        for name, inside in division:
            some = targets.filter(inside)
            measured = {recommender: accuracy(table, some, [k], SLICED).drop(USER_ID) for recommender, table in hits.items()}
            rows.append(
                {
                    "slice": division.name,
                    "name": name,
                    "targets": some.height,
                    "users": some[USER_ID].n_unique(),
                    "share": some.height / targets.height,
                    "rows": {recommender: values.mean().row(0, named=True) for recommender, values in measured.items()},
                    "intervals": {
                        recommender: bootstrap_intervals(values, draws=draws, seed=seed)
                        for recommender, values in measured.items()
                    },
                }
            )
    return rows
