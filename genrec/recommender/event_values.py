"""What a caller says beside item ids: of events, of the item that is wanted, of the user. Encoded by a package's schema."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from genrec.core.dataset import Sequences
from genrec.core.event_schema import Column, EventSchema, final_times, previous_times, time_codes
from genrec.errors import DataError, did_you_mean
from genrec.types import ITEM_ID, TIMESTAMP

TIME = "time"  # key of a history's entries and of requests: when it is, on the clock of the training data
_LATEST = 2.0**62  # of either sign: gaps between times are counted in 64 bits


class Event(str):
    """The id of an item in a history, with what is known of the event.

    Args:
        item_id: the id.
        values: column -> a word, a number or None.
    """

    values: Mapping[str, Any]

    def __new__(cls, item_id: str, values: Mapping[str, Any]) -> Event:
        """Makes a text that is equal to the id."""
        event = super().__new__(cls, item_id)
        event.values = values
        return event


_IDS = frozenset({str, Event})


def split_entries(entries: list[Any], where: str) -> tuple[list[Any], list[Any] | None]:
    """Splits the entries of a history into ids and times.

    Args:
        entries: ids, or mappings with ``item_id``, perhaps ``time``, and columns.
        where: of errors.

    Returns:
        The ids, which are ``Event`` where there are columns, and the time of each, None where it is not known; None where
        mappings have no times.

    Raises:
        DataError: for a mapping without an id, values that are no words and no numbers, and times of some entries alone.
    """
    if _IDS.issuperset(map(type, entries)) or not any(isinstance(entry, Mapping) for entry in entries):
        return entries, None
    ids, times = [], []
    for entry in entries:
        if not isinstance(entry, Mapping):
            ids.append(entry)
            continue
        if not isinstance(item_id := entry.get(ITEM_ID), str):
            fix = f"give {ITEM_ID}, perhaps {TIME}, and columns of the events"
            raise DataError(where, expected=f"ids, or mappings with a text {ITEM_ID}", got=f"{entry!r:.100}", fix=fix)
        values = check_values(where, {name: value for name, value in entry.items() if name not in (ITEM_ID, TIME)})
        ids.append(Event(item_id, values) if values else item_id)
        if TIME in entry:
            times.append(entry[TIME])
    if times and len(times) != len(entries) and any(time is not None for time in times):
        fix = "give it for each (null where it is not known), or for none"
        raise DataError(where, expected=f"a {TIME} for each of {len(entries)} entries", got=len(times), fix=fix)
    return ids, times if len(times) == len(entries) else None


def check_values(where: str, values: Any) -> dict[str, Any]:
    """Returns a mapping of columns to words and numbers; None is an empty one.

    Raises:
        DataError: for anything else.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
        fix = 'write it as {"event_type": "purchase"}'
        raise DataError(where, expected="a mapping of columns to values", got=f"{values!r:.100}", fix=fix)
    return {name: _plain(f"{where}, {name}", value) for name, value in values.items()}


def _plain(where: str, value: Any) -> str | int | float | bool | None:
    value = value.item() if isinstance(value, np.generic) else value
    is_number = isinstance(value, int | float)
    if (is_number and math.isfinite(value) and abs(value) < _LATEST) or value is None or isinstance(value, str):
        return value
    raise DataError(where, expected="a word, a finite number or None", got=f"{value!r:.100}", fix="give one value")


def check_each(where: str, values: Any) -> dict[str, Any] | list[dict[str, Any]]:
    """Returns what holds for all histories, a mapping, or a list of one for each (see ``check_values``)."""
    if isinstance(values, list | tuple):
        return [check_values(where, one) for one in values]
    return check_values(where, values)


def columns_of(entries: Iterable[Sequence[str]]) -> list[str]:
    """Returns the names of the columns of events, in the order of their first appearance."""
    names: dict[str, None] = {}
    for history in entries:
        for item_id in history:
            if type(item_id) is Event:
                names |= dict.fromkeys(item_id.values)
    return [*names]


def with_values(
    sequences: Sequences, schema: EventSchema, *, events: Mapping[str, Sequence[Any]], request: Any, user: Any
) -> Sequences:
    """Returns histories with what is known beside the items, encoded. Words outside of a vocabulary are unknown.

    Args:
        sequences: items and perhaps times.
        schema: of the package.
        events: column -> the value of each event.
        request: column -> value, for all histories; or a list of such mappings, one for each. ``timestamp`` is ``time``.
        user: likewise.

    Raises:
        DataError: for columns that the package does not have, words where it has numbers, and a list of another length.
    """
    if not (schema or events or request or user):
        return sequences
    timed = [column for column in schema.columns if column.kind == "time"]
    named = {column.name: column for column in schema.columns if column.kind != "time"}
    _check_names("histories", events, [*named, TIME])
    columns = {name: _encoded(named[name], values, f"histories, column {name}") for name, values in events.items()}
    if sequences.times is not None and timed:
        previous = previous_times(sequences.times, sequences.offsets)
        columns |= {column.name: time_codes(column.part, sequences.times, previous) for column in timed}
    return replace(
        sequences,
        columns=columns,
        request=_request(sequences, schema, [_with_time(one) for one in _for_each("request", request, len(sequences))]),
        users=_users(schema, _for_each("user", user, len(sequences))),
    )


def _with_time(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked for, with the time under the name that histories have for it; runs call it as the data do.

    Raises:
        DataError: for a time under both names.
    """
    if TIME in asked and TIMESTAMP in asked:
        raise DataError("request", expected=f"{TIME} or {TIMESTAMP}", got="both", fix="leave one of them out")
    return {TIME if name == TIMESTAMP else name: value for name, value in asked.items()}


def _request(sequences: Sequences, schema: EventSchema, asked: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Encodes what is known of the event that follows each history."""
    columns = {name: schema[name] for name in schema.request}
    parts = [column for column in columns.values() if column.kind == "time"]
    names = dict.fromkeys(name for one in asked for name in one)
    words = [name for name, column in columns.items() if column.kind != "time"]
    _check_names("request", names, [*words, *([TIME] if parts else [])])
    values = {
        name: _encoded(columns[name], [one.get(name) for one in asked], f"request, {name}") for name in names if name != TIME
    }
    if TIME not in names:
        return values
    times = _numbers([one.get(TIME) for one in asked], f"request, {TIME}")
    last = np.full(len(sequences), np.nan)
    if sequences.times is not None:
        last = final_times(sequences.times, sequences.offsets)
    return values | {column.name: time_codes(column.part, times, last) for column in parts}


def _users(schema: EventSchema, users: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    columns = {column.name: column for column in schema.users}
    names = dict.fromkeys(name for one in users for name in one)
    _check_names("user", names, [*columns])
    return {name: _encoded(columns[name], [one.get(name) for one in users], f"user, {name}") for name in names}


def _for_each(where: str, values: Any, number: int) -> list[dict[str, Any]]:
    if not isinstance(values, list):
        return [values or {}] * number
    if len(values) != number:
        fix = "give one mapping for all of them, or one for each"
        raise DataError(where, expected=f"mappings for {number} histories", got=len(values), fix=fix)
    return values


def _check_names(where: str, names: Iterable[str], allowed: Sequence[str]) -> None:
    for name in names:
        if allowed in ([], [TIME]) and name not in allowed:
            fix = "leave it out, or train with columns (docs/events.md)"
            raise DataError(where, expected="no columns: the package was trained without such", got=name, fix=fix)
        if name not in allowed:
            raise DataError(
                where, expected=f"columns of the package ({', '.join(allowed)})", got=name, fix=did_you_mean(name, allowed)
            )


def _encoded(column: Column, values: Sequence[Any], where: str) -> np.ndarray:
    if column.kind == "number":
        with np.errstate(over="ignore"):  # a number beyond all others is cut off by the model
            return column.encode(_numbers(values, where).tolist())
    return column.encode([_word(value) for value in values])


def _word(value: Any) -> str | None:
    """A value as prepared data write it."""
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)


def _numbers(values: Sequence[Any], where: str) -> np.ndarray:
    for value in values:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise DataError(where, expected="numbers", got=f"{value!r:.100}", fix="give a number, or leave it out")
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
