"""What is known of events, requests and users beside the items: named columns, their vocabularies and scales.

Values are encoded here and nowhere else, for the prepared data and for a request alike: a category as a number of its
vocabulary, 0 where it is not in it; a number as standard deviations from the mean of the training part, NaN where it is
missing; a time as up to three categories (see ``TIME_PARTS``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int, Num

from genrec.errors import ConfigError

Kind = Literal["category", "number", "time"]

USER_CODES = "codes"  # name in ``Batch.users`` of the users' codes, [batch, levels]
UNKNOWN = 0  # code of a category that is missing, or not in the vocabulary
HOUR, DAY = 3_600, 86_400  # seconds
TIME_PARTS: Mapping[str, int] = {"gap": 64, "hour": 25, "weekday": 8}  # of a time -> numbers of codes, the unknown one included
_YEARS = (6.3e8, 4.0e9)  # seconds since 1970 of 1990 and of 2096: only such times have an hour and a weekday


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of events or of users, fitted on the training part.

    Args:
        name: its name; parts of a time are called ``timestamp.gap``, ``timestamp.hour``, ``timestamp.weekday``.
        kind: ``category`` or ``number``; ``time`` for a part of a time, which is a category without words.
        vocabulary: words of a category; word ``i`` has the code ``i + 1``.
        num_codes: of a category or a part of a time, the unknown one included; 0 for a number.
        mean: of a number.
        std: of a number, above 0.
    """

    name: str
    kind: Kind
    vocabulary: tuple[str, ...] = ()
    num_codes: int = 0
    mean: float = 0.0
    std: float = 1.0

    def encode(self, values: Sequence[Any]) -> Num[np.ndarray, " values"]:
        """Encodes words, or numbers: int32 codes of a category, float32 of a number. A part of a time is encoded already."""
        if self.kind == "number":
            numbers = np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
            return ((numbers - self.mean) / self.std).astype(np.float32)
        code = {word: number + 1 for number, word in enumerate(self.vocabulary)}
        return np.array([code.get(value, UNKNOWN) for value in values], dtype=np.int32)

    @property
    def origin(self) -> str:
        """Name of the column of the data that it comes from: ``timestamp`` of ``timestamp.gap``."""
        return self.name.rpartition(".")[0] if self.kind == "time" else self.name

    @property
    def part(self) -> str:
        """Which part of a time it is: ``gap``, ``hour`` or ``weekday``."""
        return self.name.rpartition(".")[2]


def missing_value(values: Num[np.ndarray, "..."]) -> float:
    """Returns what stands for a missing value in an encoded column: NaN in one of numbers, 0 in one of codes."""
    return np.nan if values.dtype.kind == "f" else float(UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class EventSchema:
    """The columns of a prepared dataset. It is saved with every generator that reads them.

    Args:
        columns: of events.
        request: names of those that may be known of the item to be predicted: the kind of event that is wanted, the time.
        users: columns of users.
        user_codes: numbers of codes of each level of the users' codes, that of nobody (0) included; empty: users have none.
        half_life: of the events that a user's codes are made of (see ``genrec.model.user_codes``).
        text_dim: dimensions of the vectors of texts that requests give; 0 where there are none.
    """

    columns: tuple[Column, ...] = ()
    request: tuple[str, ...] = ()
    users: tuple[Column, ...] = ()
    user_codes: tuple[int, ...] = ()
    text_dim: int = 0
    half_life: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.columns or self.users or self.user_codes or self.text_dim)

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def with_codes(self, name: str) -> Column | None:
        """Returns the column of events of that name, ``timestamp.gap`` for ``timestamp``; None: there is none with codes."""
        of_name = (column for column in self.columns if column.name in (name, f"{name}.gap") and column.num_codes)
        return next(of_name, None)

    def action(self, name: str) -> Column:
        """Returns the column of events that says what was done with the items: a category or a number.

        Raises:
            ConfigError: when there is none of that name.
        """
        columns = {column.name: column for column in self.columns if column.kind != "time"}
        if name not in columns:
            expected = f"a category or a number of events.columns ({', '.join(columns) or 'there are none'})"
            raise ConfigError("generator.actions", expected=expected, got=name, fix=f"add it: events.columns.{name}=category")
        return columns[name]

    @property
    def coded(self) -> tuple[str, ...]:
        """Names that ``with_codes`` knows: categories, and times by the name of their column."""
        return tuple(column.origin for column in self.columns if column.kind == "category" or column.part == "gap")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of events."""
        return tuple(column.name for column in self.columns)

    @property
    def kinds(self) -> dict[str, str]:
        """Column of events -> its kind."""
        return {column.name: column.kind for column in self.columns}

    @property
    def time_parts(self) -> tuple[str, ...]:
        """Which parts of the time are columns: ``gap``, ``hour``, ``weekday``."""
        return tuple(column.part for column in self.columns if column.kind == "time")

    def with_text(self, dim: int) -> EventSchema:
        """Returns the schema whose requests give texts as vectors of so many dimensions."""
        return replace(self, text_dim=dim)

    def with_user_codes(self, sizes: Iterable[int], half_life: float) -> EventSchema:
        """Returns the schema whose users have codes."""
        return replace(self, user_codes=tuple(sizes), half_life=half_life)

    def to_json(self) -> dict[str, Any]:
        """Returns what ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any] | None) -> EventSchema:
        """Reads what ``to_json`` wrote; None is a schema without columns."""
        if not fields:
            return cls()
        columns = {name: tuple(_column(column) for column in fields[name]) for name in ("columns", "users")}
        return cls(
            **columns,
            request=tuple(fields["request"]),
            user_codes=tuple(fields["user_codes"]),
            text_dim=fields["text_dim"],
            half_life=fields.get("half_life", 0.0),
        )


def _column(fields: Mapping[str, Any]) -> Column:
    return Column(**{**fields, "vocabulary": tuple(fields["vocabulary"])})


def time_columns(name: str, times: Float[np.ndarray, " events"]) -> tuple[Column, ...]:
    """Returns the columns that a time gives: its gap, and hour and weekday where the clock is that of a calendar."""
    times = times[~np.isnan(times)]
    is_calendar = len(times) > 0 and _YEARS[0] <= float(times.min()) and float(times.max()) <= _YEARS[1]
    parts = TIME_PARTS if is_calendar else {"gap": TIME_PARTS["gap"]}
    return tuple(Column(name=f"{name}.{part}", kind="time", num_codes=size) for part, size in parts.items())


def time_codes(
    part: str, times: Float[np.ndarray, " events"], previous: Float[np.ndarray, " events"]
) -> Int[np.ndarray, " events"]:
    """Encodes a part of times: int32 codes, 0 where it is not known.

    The gap is the time since the event before, in buckets that double: 0, 1 to 2, 3 to 6, ... units of the data's clock.

    Args:
        part: ``gap``, ``hour`` or ``weekday`` (Monday is the first).
        times: in whole units, seconds where there is an hour; NaN where missing.
        previous: the last times before that are not missing (``previous_times``); NaN where there is none.
    """
    if part == "gap":
        gaps = np.maximum(np.floor(times) - np.floor(previous), 0)
        codes = np.minimum(np.floor(np.log2(gaps + 1)) + 1, TIME_PARTS["gap"] - 1)
    elif part == "hour":
        codes = np.floor(times % DAY / HOUR) + 1
    else:
        codes = (np.floor(times / DAY) + 3) % 7 + 1  # 1970-01-01 was a Thursday
    return np.where(np.isnan(codes), UNKNOWN, codes).astype(np.int32)


def previous_times(
    times: Float[np.ndarray, " events"], offsets: Int[np.ndarray, " rows_and_1"]
) -> Float[np.ndarray, " events"]:
    """Returns the last time before each event of flat histories that is not missing; NaN where there is none."""
    return _last_times(times, offsets)[0]


def final_times(times: Float[np.ndarray, " events"], offsets: Int[np.ndarray, " rows_and_1"]) -> Float[np.ndarray, " rows"]:
    """Returns the last time of each of flat histories that is not missing; NaN where there is none."""
    return _last_times(times, offsets)[1]


def _last_times(times: Any, offsets: Any) -> tuple[np.ndarray, np.ndarray]:
    times, offsets = np.asarray(times, np.float64), np.asarray(offsets)
    lengths = np.diff(offsets)
    # Where the last time that is there stands, up to each event; -1: at none.
    seen = np.maximum.accumulate(np.where(np.isnan(times), -1, np.arange(len(times)))) if len(times) else np.zeros(0, np.int64)
    seen = np.concatenate([[-1], seen])  # [i]: among the first i events

    def of(ends: np.ndarray, starts: np.ndarray) -> np.ndarray:
        last = seen[ends]
        return np.where(last >= starts, times[last] if len(times) else np.nan, np.nan)

    return of(np.arange(len(times)), np.repeat(offsets[:-1], lengths)), of(offsets[1:], offsets[:-1])


def category(name: str, values: Iterable[str]) -> Column:
    """Returns a column whose vocabulary are the distinct values, in alphabetical order."""
    vocabulary = tuple(sorted(set(values)))
    return Column(name=name, kind="category", vocabulary=vocabulary, num_codes=len(vocabulary) + 1)
