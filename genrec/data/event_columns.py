"""What the models are to hear of events, requests and users beside the items: the ``events`` group of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from genrec.core.dataset import Dataset, partial_times
from genrec.core.event_schema import Column, EventSchema, Kind, category, previous_times, time_codes, time_columns
from genrec.data.lib.item_words import ItemWords
from genrec.errors import ConfigError, DataError, excerpt
from genrec.types import ITEM_ID, TIMESTAMP, USER_ID

MANY = 10_000  # distinct values of a category from which on it is an id, whose values repeat too rarely to learn from


@dataclass(frozen=True, kw_only=True)
class EventColumns:
    """Chooses columns and encodes them. Vocabularies and scales come from the training part of the events.

    Args:
        columns: column of the interactions -> ``category``, ``number`` or ``time``. A time gives the gap since the event before
            and, where it is seconds since 1970, the hour (UTC) and the weekday; ``timestamp`` is the only column of that kind.
        request: those of ``columns`` that may be known of an item before it is predicted, such as the kind of event that is
            wanted, or the time of the request. A model learns each of them as something that is asked for.
        text: column of the interactions with what was asked for before each event: a query, a prompt, a preference in words;
            or ``ItemWords``, which draws it from columns of the item.
        users: column of the users' table -> ``category`` or ``number``.
        user_codes: give users codes: the item tokenizer applied to the mean vector of the items of their training part.
        half_life: events after which an item counts half in this mean.

    Raises:
        ConfigError: for a request for something that is no column, and for columns that cannot be such.
    """

    columns: Mapping[str, Kind] = field(default_factory=dict)
    request: Sequence[str] = ()
    text: str | ItemWords | None = None
    users: Mapping[str, Literal["category", "number"]] = field(default_factory=dict)
    user_codes: bool = False
    half_life: float = 10.0

    def __post_init__(self) -> None:
        for name, kind in self.columns.items():
            if name in (USER_ID, ITEM_ID):
                fix = "leave it out: the models know items by their semantic IDs, and users by the events group's `users`"
                raise ConfigError("events.columns", expected="columns beside user and item", got=name, fix=fix)
            if (kind == "time") != (name == TIMESTAMP):
                expected = "time for timestamp, category or number for others"
                raise ConfigError(f"events.columns.{name}", expected=expected, got=kind, fix="name the time in data.timestamp")
        for name in self.request:
            if name not in self.columns:
                expected = "names of events.columns (" + (", ".join(self.columns) or "there are none") + ")"
                raise ConfigError("events.request", expected=expected, got=name, fix=f"add {name} to events.columns")

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for of the data; codes of users are made by a stage of their own."""
        return not (self.columns or self.text or self.users)

    @property
    def kinds(self) -> dict[str, str]:
        """Column of the interactions -> its kind; ``text`` of the text, where it is a column."""
        return {**self.columns, **({self.text: "text"} if isinstance(self.text, str) else {})}

    def added_to(
        self, dataset: Dataset, table: pl.DataFrame, users: pl.DataFrame | None, before: EventSchema | None = None
    ) -> Dataset:
        """Returns the dataset with its columns.

        Args:
            dataset: split already.
            table: the events in the dataset's order; missing times are unknown.
            users: table of users with ``user_id``; None: there is none.
            before: schema of the run that is extended, whose vocabularies and scales stay; None: they are fitted.

        Raises:
            DataError: when a column or the table of users is missing, holds no value in the training part, or is an id.
        """
        if self.is_empty:
            return dataset
        in_train = np.arange(table.height) < dataset.train_ends[dataset.events.user_idx]
        fitted: list[Column] = []
        values: dict[str, np.ndarray] = {}
        for name, kind in self.columns.items():
            if kind == "time":
                times = _times(dataset, table)
                columns = _earlier(before, name) or time_columns(name, times[in_train])
                previous = previous_times(times, dataset.events.offsets)
                values |= {column.name: time_codes(column.part, times, previous) for column in columns}
            else:
                require_column(name, table, "events.columns", "the interactions")
                columns = _earlier(before, name) or (
                    _fitted(name, kind, table[name].filter(pl.Series(in_train)), "events.columns"),
                )
                values[name] = columns[0].encode(table[name].to_list())
            fitted += columns
        of_users, user_values = self._users(dataset, users, before)
        schema = EventSchema(columns=tuple(fitted), request=self._request(fitted), users=of_users)
        texts = None
        if isinstance(self.text, ItemWords):
            texts = self.text.drawn(dataset.items, dataset.events.item_idx, in_train)
        elif self.text:
            require_column(self.text, table, "events.text", "the interactions")
            texts = table[self.text]
        events = replace(dataset.events, columns=values, users=user_values)
        return replace(dataset, schema=schema, events=events, event_texts=texts)

    def _request(self, fitted: Sequence[Column]) -> tuple[str, ...]:
        return tuple(column.name for column in fitted if column.origin in self.request)

    def _users(
        self, dataset: Dataset, users: pl.DataFrame | None, before: EventSchema | None
    ) -> tuple[tuple[Column, ...], dict[str, np.ndarray]]:
        if not self.users:
            return (), {}
        if users is None:
            fix = "give data.users=FILE, or leave events.users out"
            raise DataError("events.users", expected="a table of users beside the interactions", got="none", fix=fix)
        rows = dataset.users.select(USER_ID).join(users, on=USER_ID, how="left", maintain_order="left")
        has_training = pl.Series(dataset.train_ends > np.asarray(dataset.events.offsets[:-1]))
        columns = tuple(self._user_column(name, kind, rows, has_training, before) for name, kind in self.users.items())
        return columns, {column.name: column.encode(rows[column.name].to_list()) for column in columns}

    def _user_column(
        self, name: str, kind: Kind, rows: pl.DataFrame, has_training: pl.Series, before: EventSchema | None
    ) -> Column:
        require_column(name, rows, "events.users", "the table of users")
        earlier = [column for column in (before.users if before else ()) if column.name == name]
        return earlier[0] if earlier else _fitted(name, kind, rows[name].filter(has_training), "events.users")


def require_column(name: str, table: pl.DataFrame, where: str, of: str) -> None:
    """Raises DataError when a table lacks a column."""
    if name not in table.columns:
        others = ", ".join(table.columns[:20])
        raise DataError(where, expected=f"a column of {of} ({others})", got=name, fix="correct the name, or leave it out")


def _earlier(before: EventSchema | None, name: str) -> tuple[Column, ...]:
    """The columns of an earlier schema that come from a column of the data."""
    return tuple(column for column in (before.columns if before else ()) if column.origin == name)


def _times(dataset: Dataset, table: pl.DataFrame) -> np.ndarray:
    times = dataset.timestamps if dataset.timestamps is not None else partial_times(table)
    if times is None:
        fix = "name the column of the time in data.timestamp"
        raise DataError("events.columns.timestamp", expected="events with times", got="none", fix=fix)
    return np.asarray(times, np.float64)


def _fitted(name: str, kind: Kind, values: pl.Series, where: str) -> Column:
    """Fits a column on values of the training part."""
    known_values = values.drop_nulls()
    if not len(known_values):
        fix = "leave it out, or check how the file writes it"
        raise DataError(f"{where}.{name}", expected="a value in the training part", got="none", fix=fix)
    if kind == "number":
        numbers = _numbers(known_values, f"{where}.{name}")
        std = float(numbers.std())
        return Column(name=name, kind="number", mean=float(numbers.mean()), std=std if std > 0 else 1.0)
    words = known_values.cast(pl.String)
    if (count := words.n_unique()) > MANY:
        fix = "leave it out, or group its values"
        raise DataError(f"{where}.{name}", expected=f"a category of at most {MANY:,} values", got=f"{count:,}", fix=fix)
    return category(name, words.to_list())


def _numbers(values: pl.Series, where: str) -> np.ndarray:
    numbers = values.cast(pl.Float64, strict=False)
    if wrong := numbers.null_count():
        first = values.filter(numbers.is_null())[0]
        raise DataError(where, expected="numbers", got=f"{excerpt(str(first))} ({wrong:,} such)", fix="make it a category")
    return numbers.to_numpy()


def asked_for(dataset: Dataset, split: Any, request: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns what lists for a split ask for, as in ``Sequences.request``.

    Args:
        dataset: prepared.
        split: whose targets follow.
        request: column -> a value that is asked for everybody; ``target``: what the data say of each user's next event, which
            is right for what is known beforehand, such as the time (``timestamp`` or ``time``), and a leak for anything else.

    Raises:
        ConfigError: for a column that requests do not give, and for a value outside of its vocabulary.
    """
    asked: dict[str, np.ndarray] = {}
    for name, value in request.items():
        origin = TIMESTAMP if name == TIME and name not in dataset.schema.request else name
        columns = [dataset.schema[part] for part in dataset.schema.request if dataset.schema[part].origin == origin]
        if not columns:
            expected = "a column of events.request (" + (", ".join(dataset.schema.request) or "there are none") + ")"
            raise ConfigError("recommend.request", expected=expected, got=name, fix="add it to events.request")
        if value == TARGET:
            asked |= dataset.request_after(split, tuple(column.name for column in columns))
        else:
            asked[name] = np.repeat(encoded_request(columns[0], value, f"recommend.request.{name}"), dataset.num_users)
    return asked


def encoded_request(column: Column, value: Any, where: str) -> np.ndarray:
    """Encodes one value that is asked for.

    Raises:
        ConfigError: for a word outside of the vocabulary, no number where one is expected, and a time.
    """
    if column.kind == "time":
        fix = f"set {where}=target, the time of each target"
        raise ConfigError(where, expected="target: a time is not alike for everybody", got=value, fix=fix)
    if column.kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ConfigError(where, expected="a number", got=value, fix="give a number")
    if column.kind == "category" and value not in column.vocabulary:
        words = ", ".join(column.vocabulary[:20])
        raise ConfigError(where, expected=f"one of {words}", got=value, fix="ask for one of these")
    return column.encode([value])


TARGET = "target"
TIME = "time"  # what a request calls the column ``timestamp``, too
