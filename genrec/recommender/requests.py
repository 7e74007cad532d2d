"""What a recommender can be asked. Each parameter is named, explained and checked here, and nowhere else.

``Recommender``, the service, its page and ``genrec recommend BUNDLE`` all build one of these requests, and it is answered by
the same code. A request is checked when it is made, as far as that needs no catalogue; it is never changed. Values of any
origin become plain Python values, or an error of one line.
"""

from __future__ import annotations

import inspect
import math
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
import polars as pl

from genrec.errors import ConfigError, DataError
from genrec.recommender.event_values import check_each, check_values
from genrec.recommender.histories import check_entries, check_histories, read_times
from genrec.types import TIMESTAMP

OLD_NAMES = {"only": "filter"}  # parameters that were called otherwise once, and are still accepted so
_VALUES = ("request", "user")  # fields of columns
EACH = (*_VALUES, "query")  # fields that may hold a value for each history, and then join when requests are answered together
HISTORIES = frozenset({"history", "histories", "times"})  # what requests that are answered together may differ in
P = ParamSpec("P")
R = TypeVar("R", bound="Request")
T = TypeVar("T")
_LARGEST = 2**63 - 1
LONGEST_TEXT = 1_000  # characters of a query or a wish
_STRONGEST = 100.0  # of either sign: a strength beyond it only makes all other items equal


def item_id_text(value: Any) -> str:
    """Returns an item id.

    Raises:
        DataError: for anything that is no text.
    """
    if not isinstance(value, str):
        fix = "name one item; look items up by their titles"
        raise DataError("item_id", expected="the id of an item", got=f"{value!r:.200}", fix=fix)
    return value


def whole_number(where: str, value: Any, *, least: int = 1) -> int:
    """Returns an integer, also of one of numpy's.

    Raises:
        ConfigError: for anything else, and below ``least``.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or not least <= value <= _LARGEST:
        fix = f"give {int(value)}" if isinstance(value, float) and value.is_integer() else "give such a number"
        raise ConfigError(where, expected=f"a whole number, at least {least}", got=f"{value!r:.100}", fix=fix)
    return int(value)


def optional_bool(where: str, value: Any) -> bool | None:
    """Returns True, False or None.

    Raises:
        ConfigError: for anything else.
    """
    if value is not None and not isinstance(value, bool | np.bool_):
        raise ConfigError(where, expected="True, False or None", got=f"{value!r:.100}", fix="give one of them")
    return None if value is None else bool(value)


def filter_text(where: str, value: Any) -> str | None:
    """Returns the text of a filter, or None.

    Raises:
        ConfigError: for anything else.
    """
    if value is not None and not isinstance(value, str):
        fix = 'write it as text, such as \'brand in ["OPI", "Essie"]\' (docs/filters.md)'
        raise ConfigError(where, expected="a filter", got=f"{value!r:.100}", fix=fix)
    return value


def words(where: str, value: Any) -> str | None:
    """Returns a text in words; None where it is blank.

    Raises:
        ConfigError: for anything else, and a longer text than ``LONGEST_TEXT``.
    """
    if value is not None and not isinstance(value, str):
        raise ConfigError(where, expected="words", got=f"{value!r:.100}", fix="write what is wanted as one text")
    if value is not None and len(value) > LONGEST_TEXT:
        got = f"{len(value):,} of them"
        raise ConfigError(where, expected=f"at most {LONGEST_TEXT:,} characters", got=got, fix="say it shorter")
    return value.strip() or None if value else None


def words_of_each(where: str, value: Any) -> str | list[str | None] | None:
    """Returns words for all histories, or a list of words or None for each (see ``words``)."""
    return [words(where, one) for one in value] if isinstance(value, list | tuple) else words(where, value)


def strength(where: str, value: Any) -> float | None:
    """Returns a strength, or None.

    Raises:
        ConfigError: for anything but a number that is not beyond ``_STRONGEST``.
    """
    if value is None:
        return None
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
    if not is_number or not abs(value) <= _STRONGEST:
        expected = f"a number from {-_STRONGEST:g} to {_STRONGEST:g}"
        raise ConfigError(where, expected=expected, got=f"{value!r:.100}", fix="choose one from 0 to 10")
    return float(value)


def preferences(where: str, value: Any) -> dict[str, float]:
    """Returns filters and what each adds for the items that pass it; None means none.

    Raises:
        ConfigError: for anything else, and amounts that are not finite.
    """
    amounts: dict[str, float] = {}
    for text, amount in _pairs(where, value, "filters to numbers", "{'brand == \"OPI\"': 0.5}"):
        is_number = isinstance(amount, int | float | np.number) and not isinstance(amount, bool | np.bool_)
        try:
            amounts[text] = float(amount) if is_number else math.nan
        except OverflowError:  # an integer beyond all floats
            amounts[text] = math.inf
        if not math.isfinite(amounts[text]):
            fix = "give such a number; a filter forbids items"
            raise ConfigError(where, expected="a finite number for each filter", got=f"{amount!r:.100}", fix=fix)
    return amounts


def quotas(where: str, value: Any) -> dict[str, int]:
    """Returns columns and how many items of one value a list may have; None means none.

    Raises:
        ConfigError: for anything else.
    """
    limits: dict[str, int] = {}
    for column, limit in _pairs(where, value, "columns to numbers", '{"brand": 2}'):
        is_whole = isinstance(limit, int | np.integer) and not isinstance(limit, bool | np.bool_)
        if not is_whole or limit < 1:
            fix = "forbid values with a filter" if is_whole else "give such a number"
            expected = "a whole number, at least 1, for each column"
            raise ConfigError(f"{where} {column}", expected=expected, got=f"{limit!r:.100}", fix=fix)
        limits[column] = min(int(limit), _LARGEST)
    return limits


def one_source(times: Any, of_entries: Any) -> Any:
    """Returns the times that were given, of the entries or beside them.

    Raises:
        DataError: where both were given.
    """
    if times is not None and of_entries is not None:
        fix = "leave one of them out"
        raise DataError("times", expected="times of the entries, or beside them", got="both", fix=fix)
    return of_entries if times is None else times


def _pairs(where: str, value: Any, what: str, example: str) -> list[tuple[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, Mapping):
        raise ConfigError(where, expected=f"a mapping of {what}", got=f"{value!r:.100}", fix=f"write it as {example}")
    for key in value:
        if not isinstance(key, str):
            raise ConfigError(where, expected=f"a mapping of {what}", got=f"{key!r:.100}", fix=f"write it as {example}")
    return [*value.items()]


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "k": partial(whole_number, "k"),
    "filter": partial(filter_text, "filter"),
    "steer": partial(preferences, "steer"),
    "quota": partial(quotas, "quota"),
    "exclude_seen": partial(optional_bool, "exclude_seen"),
    "batch_size": partial(whole_number, "batch_size"),
    "item_id": item_id_text,
    "last": partial(whole_number, "last", least=0),
    "query": partial(words_of_each, "query"),
    "guidance": partial(strength, "guidance"),
    "wish": partial(words, "wish"),
    "wish_strength": partial(strength, "wish_strength"),
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """The part that all requests share: each field is checked, and holds plain Python values afterwards."""

    def __post_init__(self) -> None:
        for one in fields(self):
            if check := _CHECKS.get(one.name):
                self._set(one.name, check(getattr(self, one.name)))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def settings(self) -> dict[str, Any]:
        """All fields but the histories and their times."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name not in HISTORIES}


@dataclass(frozen=True, kw_only=True)
class ListRequest(Request):
    """What every list of items can be asked to be like.

    Args:
        k: items of each list, 1 or more; more than the catalogue has are all of it. Beams widen to it where a strategy keeps
            fewer.
        filter: what an item must meet to be listed, such as ``price < 20 and brand in ["OPI", "Essie"]``, over the columns of
            the items and of their codes (docs/filters.md). Scores stay those of the unfiltered search.
        steer: filters, and the finite number that is added to the log-probability of the items that meet each, in nats, such as
            ``{'brand == "OPI"': 0.5}``. Lists are ordered by the sum.
        exclude_seen: whether items of the history are left out of its list; left open, by the rule that the run was evaluated
            by.
        wish: words, such as ``"shampoo, not perfume"``: items whose texts are like them come first, those like what follows
            "not" come last. It asks no more of a package than a text encoder.
        wish_strength: nats that an item gains for a cosine of 1 between its text and the wish; left open, 5.
        guidance: how much a query and a request count: 0 is the list without them, 1 the one with them, above 1 they count
            more; left open, as the package was set up. A package that was trained with neither refuses it.
    """

    k: int = 10
    filter: str | None = None
    steer: Mapping[str, float] = field(default_factory=dict)
    exclude_seen: bool | None = None
    wish: str | None = None
    wish_strength: float | None = None
    guidance: float | None = None


@dataclass(frozen=True, kw_only=True)
class HistoryRequest(Request):
    """One history.

    Args:
        history: item ids, oldest first; may be empty. Ids that the catalogue does not have are left out and named. An entry may
            be a mapping with ``item_id``, perhaps ``time``, and columns of the events that the package was trained with.
        times: when each item of the history was, on the clock of the training data: seconds, where that had dates; None where
            that is not known. Models with ``time_gaps`` need it.
        request: what is known of the item that is wanted: columns, such as ``{"event_type": "purchase"}``, and ``time``, when
            it is. Words that the package does not know are unknown to it; it refuses columns that it does not have.
        user: what is known of the user: columns of the users' table that the package was trained with.
        query: what is asked for in words, such as ``"shampoo, not perfume"``; what follows "not" is taken away. For packages
            that were trained with texts (``events.text``).
    """

    history: Sequence[str | Mapping[str, Any]]
    times: Sequence[float | None] | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    user: Mapping[str, Any] = field(default_factory=dict)
    query: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("query", words("query", self.query))
        ids, times = check_entries(self.history)
        self._set("history", ids)
        is_timed = any(time is not None for time in times or ())
        self._set("times", one_source(self.times, times if is_timed else None))
        for name in _VALUES:
            self._set(name, check_values(name, getattr(self, name)))
        if self.times is not None:
            self._set("times", read_times([self.times], [ids])[0])


@dataclass(frozen=True, kw_only=True)
class RecommendRequest(ListRequest):
    """The next items of histories.

    Args:
        histories: item ids, oldest first, a list for each history; a history may be empty. From Python also one list of ids, or
            a table with a row for each event (see ``read_table``). A model reads the last ``max_history_len`` items, the
            seen-item rule all of them. Ids that the catalogue does not have are left out and named. An entry may be a mapping
            with ``item_id``, perhaps ``time``, and columns of the events that the package was trained with; a table has these
            as its columns.
        times: when each item of each history was, on the clock of the training data: seconds, where that had dates; None where
            that is not known. Models with ``time_gaps`` need it. A table has them in its column ``timestamp``.
        request: what is known of the items that are wanted: columns, such as ``{"event_type": "purchase"}``, and ``time``, when
            it is. Words that the package does not know are unknown to it; it refuses columns that it does not have. From Python
            also a list, one mapping for each history.
        user: what is known of the user: columns of the users' table that the package was trained with. From Python also a list,
            one mapping for each history.
        query: what is asked for in words, such as ``"shampoo, not perfume"``; what follows "not" is taken away. For packages
            that were trained with texts (``events.text``). From Python also a list, one text or None for each history.
        quota: columns, and how many items of one value a list may have, 1 or more, such as ``{"brand": 2}``. Items without a
            value are not counted.
        batch_size: histories decoded at once, 1 or more; lists longer than the strategy was set up for take fewer.
    """

    histories: Sequence[Sequence[str | Mapping[str, Any]]] | pl.DataFrame
    times: Sequence[Sequence[float | None]] | None = None
    request: Mapping[str, Any] | Sequence[Mapping[str, Any]] = field(default_factory=dict)
    user: Mapping[str, Any] | Sequence[Mapping[str, Any]] = field(default_factory=dict)
    query: str | Sequence[str | None] | None = None
    quota: Mapping[str, int] = field(default_factory=dict)
    batch_size: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        histories, is_one, entry_times = check_histories(self.histories)
        self._set("histories", histories)
        for name in _VALUES:
            self._set(name, check_each(name, getattr(self, name)))
        if entry_times is not None:
            self._set("times", one_source(self.times, entry_times))
            is_one = False
        if self.times is None:
            return
        if isinstance(histories, pl.DataFrame):
            fix = f"give a column {TIMESTAMP}"
            raise DataError("times", expected="the times of a table in the table", got=f"{self.times!r:.100}", fix=fix)
        times = cast(Any, [self.times] if is_one else self.times)
        self._set("times", read_times(times, histories))


@dataclass(frozen=True, kw_only=True)
class SimilarRequest(Request):
    """The items most like a given one.

    Args:
        item_id: of the catalogue, removed or not.
        k: items of the list, 1 or more.
        filter: what an item must meet to be listed, as for lists after a history.
    """

    item_id: str
    k: int = 10
    filter: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExplainRequest(HistoryRequest):
    """Why an item may come after a history.

    Args:
        item_id: of the catalogue.
        last: how many items of the history are weighed, 0 or more, the most recent ones; each costs as much as scoring the
            item.
    """

    item_id: str
    last: int = 20


@dataclass(frozen=True, kw_only=True)
class BeamRequest(HistoryRequest, ListRequest):
    """The prefixes that the search for one list keeps after each level."""


AnyRequest = RecommendRequest | SimilarRequest | ExplainRequest | BeamRequest


def field_docs(kind: Any) -> dict[str, str]:
    """Returns the docstring of each field of a request or parameter of a function, which is written nowhere else."""
    docs: defaultdict[str, str] = defaultdict(str)  # python -OO has no docstrings
    for one in reversed(getattr(kind, "__mro__", (kind,))):
        section = inspect.cleandoc(one.__doc__ or "").partition("Args:\n")[2].partition("\n\n")[0]
        for name, text in re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE):
            docs[name] = " ".join(text.replace("``", "`").split())
    return docs


def as_request(kind: type[R], first: str, value: Any, **settings: Any) -> R:
    """Returns the request that was given, or one of its fields, the first of which is ``value``."""
    return value if isinstance(value, kind) else kind(**{first: value}, **settings)


def accepts_request(kind: type) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Makes a method accept a request of a kind, or its fields, which may have the names they once had.

    Args:
        kind: class of the request.
    """
    old_names = {old: name for old, name in OLD_NAMES.items() if name in {one.name for one in fields(kind)}}

    def decorate(method: Callable[P, T]) -> Callable[P, T]:
        @wraps(method)
        def wrapper(*args: P.args, **settings: P.kwargs) -> T:
            for old, name in old_names.items():
                if old in settings:
                    if name in settings:
                        got, fix = f"{settings[old]!r:.100}", f"give {name} alone"
                        raise ConfigError(
                            old, expected=f"{name}, its name today, or {old}", got=f"{got} beside {name}", fix=fix
                        )
                    warnings.warn(f"{old} is called {name} now", DeprecationWarning, stacklevel=2)
                    settings[name] = settings.pop(old)
            values = [*args[1:], *settings.values()]
            if len(values) > 1 and any(isinstance(value, kind) for value in values):
                more = ", ".join(settings) or repr(args[2])
                fix = "put them into it: dataclasses.replace(request, k=5)"
                raise ConfigError(kind.__name__, expected="a request alone", got=f"{more:.100} beside it", fix=fix)
            return method(*args, **settings)

        return wrapper

    return decorate
