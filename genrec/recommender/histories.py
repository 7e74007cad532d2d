"""Looks up histories, as callers give them, in a catalogue, and collects the ids that it does not have."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from genrec.core.dataset import Sequences
from genrec.data.lib.canonical import as_numbers, text_ids
from genrec.data.lib.files import require_columns
from genrec.errors import DataError
from genrec.recommender.event_values import Event, columns_of, split_entries
from genrec.types import ITEM_ID, ITEM_IDX, POSITION, TIMESTAMP, USER_ID, USER_IDX

_WHERE = "histories"
_FIXED = (USER_ID, ITEM_ID, POSITION, TIMESTAMP)  # columns of a table of histories
_LATEST = 2.0**62  # of either sign: gaps between times are counted in 64 bits
_NUMBERS = frozenset({int, float})  # types of nearly all times, which are checked without a test for each


@dataclass(frozen=True)
class Histories:
    """Histories as they were looked up.

    Args:
        sequences: the known items of each history, as item_idx, with their times where they were given.
        unknown: the other ids of each, in the order given.
        users: the user of each history, if they came as a table.
        values: column -> what was given of each of the known items, not encoded; None where nothing was.
    """

    sequences: Sequences
    unknown: list[list[str]]
    users: pl.Series | None = None
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)


def read_histories(
    histories: Sequence[Iterable[Any]], idx: Mapping[str, int], times: Sequence[Iterable[Any]] | None = None
) -> Histories:
    """Looks up the items of each history.

    Args:
        histories: item ids, oldest first; ``Event`` where more is known.
        idx: item_id -> item_idx.
        times: when each item was, on the clock of the training data (seconds, where those were dates), None where that is not
            known; None: no time is.

    Raises:
        DataError: when something else than strings stands in a history, or ``times`` are not one number for each item.
    """
    entries = [check_history(history) for history in histories]
    known_flags = [[item_id in idx for item_id in history] for history in entries]
    rows = [idx[item_id] for history in entries for item_id in history if item_id in idx]
    clock = (
        None
        if times is None
        else np.array([time for clock_times in read_times(times, entries) for time in clock_times], dtype=np.float64)
    )
    if clock is not None:
        clock = clock[np.array([flag for flags in known_flags for flag in flags], dtype=bool)]
    offsets = np.cumsum([0, *map(sum, known_flags)], dtype=np.int64)
    unknown = [[item_id for item_id in history if item_id not in idx] for history in entries]
    events = [item_id for history in entries for item_id in history if item_id in idx] if (names := columns_of(entries)) else []
    values = {name: [event.values.get(name) if isinstance(event, Event) else None for event in events] for name in names}
    return Histories(Sequences(np.array(rows, dtype=np.int32), offsets, clock), unknown, values=values)


def read_times(times: Sequence[Iterable[Any]], histories: Sequence[Sequence[str]]) -> list[list[float | None]]:
    """Reads the times of each history; None stands for one that is not known.

    Raises:
        DataError: when they are not one number or None for each item.
    """
    time_lists = [as_list(clock_times, "times") for clock_times in as_list(times, "times")]
    if len(time_lists) != len(histories):
        fix = "give a list of times for each history"
        raise DataError("times", expected=f"times of {len(histories)} histories", got=len(time_lists), fix=fix)
    for number, (clock_times, history) in enumerate(zip(time_lists, histories, strict=True)):
        if len(clock_times) != len(history):
            fix = "give a time for each item"
            raise DataError(f"times of history {number}", expected=f"{len(history)} times", got=len(clock_times), fix=fix)
        if _NUMBERS.issuperset(map(type, clock_times)) and all(-_LATEST < time < _LATEST for time in clock_times):
            continue
        for time in clock_times:
            is_number = isinstance(time, int | float | np.number) and not isinstance(time, bool)
            if time is not None and (not is_number or abs(time) >= _LATEST or math.isnan(time)):
                fix = "give times as in the training data: seconds, where those were dates"
                raise DataError(f"times of history {number}", expected="a number for each item", got=repr(time), fix=fix)
    return time_lists


def check_histories(histories: Any) -> tuple[pl.DataFrame | list[list[str]], bool, list[list[float | None]] | None]:
    """Returns histories as a table or as lists of ids, whether one list was given, and the times of their entries.

    Args:
        histories: one list, a list of lists, or a polars (lazy too), pandas or arrow table; a column of a table is a list.

    Raises:
        DataError: for anything else, and a table without the columns of one (see ``read_table``).
    """
    if isinstance(histories, pl.LazyFrame) or hasattr(histories, "columns"):
        frame = _as_polars(histories)
        require_columns([USER_ID, ITEM_ID], frame.columns, _WHERE)
        return frame, False, None
    entries = as_list(histories)
    if not entries:
        fix = "give [[]] for one history without items"
        raise DataError(_WHERE, expected="a list of item ids, or of such lists", got="[]", fix=fix)
    is_one = all(isinstance(entry, str | Mapping) for entry in entries)
    ids, times = zip(*map(check_entries, [entries] if is_one else entries), strict=True)
    if all(time is None for clock in times for time in clock or ()):
        return [*ids], is_one, None
    for history, clock in zip(ids, times, strict=True):
        if history and clock is None:
            got, fix = "a history without", "give it for each, or for none"
            raise DataError(_WHERE, expected="a time for each entry of all histories", got=got, fix=fix)
    return [*ids], is_one, [clock or [] for clock in times]


def read_table(table: Any, item_ids: pl.Series, kinds: Mapping[str, str] | None = None) -> Histories:
    """Looks up histories in long form: a row for each event, ``user_id``, ``item_id`` and perhaps when it was.

    Users come in the order of their first rows. A user's events are taken in the order of ``position``, else of ``timestamp``,
    else of the rows; equal ones in the order of the rows. ``timestamp`` may be numbers, dates or ISO text; where one is missing
    it cannot give the order, and is not known. A row without an item names a user whose history may be empty.

    Args:
        table: polars, pandas or arrow; other columns are passed over.
        item_ids: of the catalogue.
        kinds: further columns that are read where they are there -> ``number``, or another kind.

    Raises:
        DataError: for what is no such table, users without an id, and values that cannot be read.
    """
    frame = _as_polars(table)
    require_columns([USER_ID, ITEM_ID], frame.columns, _WHERE)
    text_ids(frame[USER_ID], _WHERE)  # refuses values that are no ids; users keep their type
    columns = [frame[USER_ID], text_ids(frame[ITEM_ID], _WHERE, allow_missing=True)]
    columns += [
        as_numbers(frame[name], kind, _WHERE)
        for name, kind in ((POSITION, pl.Int64()), (TIMESTAMP, pl.Float64()))
        if name in frame.columns
    ]
    more = [name for name in kinds or () if name in frame.columns and name not in _FIXED]
    numbers = {name for name in more if (kinds or {})[name] == "number"}
    columns += [as_numbers(frame[name], pl.Float64(), _WHERE) if name in numbers else frame[name] for name in more]
    events = pl.DataFrame(columns)
    users = events[USER_ID].unique(maintain_order=True)
    events = _sort_events(_with_rows(events.filter(pl.col(ITEM_ID).is_not_null()), users, USER_IDX))
    events = _with_rows(events, item_ids, ITEM_IDX)
    known_events = events.filter(pl.col(ITEM_IDX).is_not_null())
    offsets = np.cumsum([0, *np.bincount(known_events[USER_IDX].to_numpy(), minlength=len(users))], dtype=np.int64)
    has_times = TIMESTAMP in events.columns and events[TIMESTAMP].null_count() < max(events.height, 1)
    clock = known_events[TIMESTAMP].fill_null(np.nan).to_numpy() if has_times else None
    unknown: list[list[str]] = [[] for _ in range(len(users))]
    for user, item_id in events.filter(pl.col(ITEM_IDX).is_null()).select(USER_IDX, ITEM_ID).iter_rows():
        unknown[user].append(item_id)
    values = {name: known_events[name].to_list() for name in more}
    sequences = Sequences(known_events[ITEM_IDX].cast(pl.Int32).to_numpy(), offsets, clock)
    return Histories(sequences, unknown, users, values)


def as_list(value: Any, where: str = _WHERE) -> list[Any]:
    """Returns the entries of a list.

    Raises:
        DataError: when it is none.
    """
    if isinstance(value, Mapping):
        fix = "give its values, and put the answers beside its keys"
        raise DataError(where, expected="a list", got=f"a {type(value).__name__}: {value!r:.100}", fix=fix)
    if isinstance(value, AbstractSet):
        got = f"a {type(value).__name__}, which has no order: {value!r:.100}"
        raise DataError(where, expected="a list", got=got, fix="give a list, oldest first")
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise DataError(where, expected="a list", got=f"{value!r:.200}", fix="give one list, or a list of lists")
    return list(value)


def check_history(history: Any) -> list[str]:
    """Returns the item ids of one history.

    Raises:
        DataError: for what is no list of strings.
    """
    return check_entries(history)[0]


def check_entries(history: Any) -> tuple[list[str], list[Any] | None]:
    """Returns the item ids of one history, and the times of its entries where they are mappings with times.

    Raises:
        DataError: for what is no list of strings, or of mappings with an id (see ``split_entries``).
    """
    ids, times = split_entries(as_list(history), _WHERE)
    for item_id in ids:
        if not isinstance(item_id, str):
            raise DataError(_WHERE, expected="item ids as strings", got=repr(item_id), fix="convert them")
    return ids, times


def _as_polars(table: Any) -> pl.DataFrame:
    if isinstance(table, pl.LazyFrame):
        table = table.collect()
    if isinstance(table, pl.DataFrame):
        return table
    try:
        return pl.DataFrame(table)
    except (TypeError, ValueError, ImportError, pl.exceptions.PolarsError) as error:
        got = f"{type(table).__name__}: {error}"
        raise DataError(_WHERE, expected="a table that polars can read", got=got, fix="give user_id and item_id") from error


def _with_rows(events: pl.DataFrame, ids: pl.Series, name: str) -> pl.DataFrame:
    """Adds the row of each event in ``ids``, by the column of that name; null if it is not there."""
    return events.join(ids.to_frame().with_row_index(name), on=ids.name, how="left", maintain_order="left")


def _sort_events(events: pl.DataFrame) -> pl.DataFrame:
    by = [name for name in (POSITION, TIMESTAMP) if name in events.columns][:1]
    for name in by:
        lacking = events.filter(pl.col(name).is_null())[USER_ID]
        if len(lacking):
            got, fix = f"none for {len(lacking):,} events, user {lacking[0]!r} among them", "fill them, or drop the column"
            raise DataError(f"{_WHERE}, column {name}", expected="a value for every event", got=got, fix=fix)
    return events.sort(USER_IDX, *by, maintain_order=True)
