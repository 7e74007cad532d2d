"""Filters in a small language: ``category == "Skin Care" and (price < 20 or brand in ["OPI", "Essie"])``.

The language is separate from Python, so that a filter is parsed and never run as code:

    either  := both ("or" both)*
    both    := term ("and" term)*
    term    := "not" term | "(" either ")" | test
    test    := column ("==" | "!=" | "<" | "<=" | ">" | ">=") value
             | column ["not"] "in" "[" value ("," value)* "]"
             | text ["not"] "in" column                       a part of a text, or an entry of a list
             | column "is" ["not"] "null"
    value   := 'text' | "text" | number | true | false

An item whose value is missing passes no test but ``is null`` (``not`` turns that around, as it does any answer). A column whose
name is no plain word is written in backquotes. docs/filters.md explains the language to users.

Reading a filter looks at no item and estimates the cost of applying it. Equal tests of a filter are made once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import NoReturn

import numpy as np
import polars as pl
from jaxtyping import Bool

from genrec.core.deadlines import stop_if_abandoned
from genrec.errors import ConfigError, did_you_mean

MAX_LENGTH, MAX_DEPTH = 10_000, 50  # of a filter: characters, and parentheses or ``not`` inside one another
Value = str | float | int | bool

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<column>`[^`]+`)|(?P<word>[^\W\d]\w*)|(?P<sign>==|!=|<=|>=|[<>()\[\],]))""",
    re.VERBOSE,
)
_WORDS = frozenset({"and", "or", "not", "in", "is", "null", "true", "false"})
_COMPARISONS: dict[str, Callable[[pl.Expr, Value], pl.Expr]] = {
    "==": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}


def allowed_items(predicate: str, items: pl.DataFrame) -> Bool[np.ndarray, " items"]:
    """Returns which items pass a filter.

    Args:
        predicate: see above.
        items: the catalogue.

    Raises:
        ConfigError: for what cannot be read, unknown columns, and values that do not fit a column.

    >>> shop = pl.DataFrame({"item_id": ["a", "b", "c"], "brand": ["OPI", None, "Essie"], "price": [9.5, 3.0, 12.0]})
    >>> allowed_items('price < 10 and brand in ["OPI", "Essie"]', shop).tolist()
    [True, False, False]
    """
    return read_filter(predicate, items).passing_items(items)


# Milliseconds of a core for a million items: a comparison, the same with a list of values, and a look into texts or lists (and
# into each byte of them).
COMPARE, AMONG, LOOK_INTO, LOOK_AT_BYTE = 1.5, 5.0, 25.0, 1 / 25
_COMBINE = 0.05  # cost of combining an answer with others
_AT_ONCE = 16  # tests between two checks for an abandoned request


@dataclass(frozen=True)
class Junction:
    """``and``, ``or`` or ``not`` of parts, each the number of a test or a junction."""

    word: str
    parts: list[int | Junction]

    def combine(self, answers: list[pl.Series]) -> pl.Series:
        """Puts the answers of all tests together."""
        parts = (answers[part] if isinstance(part, int) else part.combine(answers) for part in self.parts)
        return ~next(parts) if self.word == "not" else reduce(and_ if self.word == "and" else or_, parts)


@dataclass(frozen=True)
class Filter:
    """A filter that has been read.

    Args:
        text: as it was written.
        tests: the different ones.
        tree: how they are put together.
        cost: of passing over a million items, about milliseconds of a core.
    """

    text: str
    tests: tuple[pl.Expr, ...]
    tree: int | Junction
    cost: float

    def passing_items(self, items: pl.DataFrame) -> Bool[np.ndarray, " items"]:
        """Returns which items pass.

        Raises:
            ConfigError: for values that polars cannot compare with a column.
        """
        answers: list[pl.Series] = []
        try:
            for start in range(0, len(self.tests), _AT_ONCE):
                stop_if_abandoned()
                some = self.tests[start : start + _AT_ONCE]
                answers += items.select(test.alias(str(number)) for number, test in enumerate(some)).get_columns()
        except pl.exceptions.PolarsError as error:  # such as an order of values that an enumeration does not have
            message = str(error).partition("\n")[0]
            raise ConfigError(
                "filter", expected="tests that fit the columns", got=self.text, fix=f"polars says: {message}"
            ) from error
        return (answers[self.tree] if isinstance(self.tree, int) else self.tree.combine(answers)).to_numpy()


def read_filter(predicate: str, items: pl.DataFrame) -> Filter:
    """Reads a filter without looking at an item.

    Args:
        predicate: see above.
        items: the catalogue.

    Raises:
        ConfigError: for what cannot be read, unknown columns, and values that do not fit a column.
    """
    return _Parser(predicate, items).parse()


@dataclass(frozen=True)
class _Token:
    kind: str  # text, number, column, word, sign, end
    shown: str
    position: int  # 1-based character


class _Parser:
    def __init__(self, predicate: str, items: pl.DataFrame) -> None:
        self._text, self._items, self._schema, self._next, self._depth = predicate, items, items.schema, 0, 0
        self._tests: dict[tuple[object, ...], tuple[int, pl.Expr]] = {}
        self._cost, self._looks, self._sizes = 0.0, 0, dict[str, float]()  # bytes of a value, by column
        if len(predicate) > MAX_LENGTH:
            raise ConfigError(
                "filter", expected=f"at most {MAX_LENGTH:,} characters", got=f"{len(predicate):,} characters", fix="shorten it"
            )
        self._tokens = list(self._split())

    def parse(self) -> Filter:
        tree = self._either()
        if self._token.kind != "end":
            self._refuse("and, or, or the end")
        tests = tuple(test for _, test in self._tests.values())
        return Filter(self._text, tests, tree, self._cost + _COMBINE * self._looks)

    # --- the grammar, one method a line ---

    def _either(self) -> int | Junction:
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Junction("or", parts)

    def _both(self) -> int | Junction:
        parts = [self._term()]
        while self._take("and"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else Junction("and", parts)

    def _term(self) -> int | Junction:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"at most {MAX_DEPTH} parentheses or nots inside one another")
        if self._take("not"):
            tree: int | Junction = Junction("not", [self._term()])
        elif self._take("("):
            tree = self._either()
            self._expect(")")
        else:
            tree = self._test()
        self._depth -= 1
        return tree

    def _test(self) -> int:
        if self._token.kind in ("text", "number"):
            value = self._value()
            negated = self._take("not")
            self._expect("in")
            name, column = self._column()
            test = self._contains(name, column, value)
            if name not in self._sizes:
                self._sizes[name] = self._items[name].estimated_size() / max(self._items.height, 1)
            cost = LOOK_INTO + LOOK_AT_BYTE * self._sizes[name]
            return self._add_test(test, (name, "has", _typed_value(value)), cost, negated=negated)
        position, (name, column) = self._token.position, self._column()
        if self._take("is"):
            negated = self._take("not")
            self._expect("null")
            return self._add_test(column.is_null(), (name, "null"), COMPARE, negated=negated)
        if self._token.shown in ("not", "in"):
            negated = self._take("not")
            self._expect("in")
            self._expect("[")
            values = [self._check_fits(name, self._value())]
            while self._take(","):
                values.append(self._check_fits(name, self._value()))
            self._expect("]")
            key = (name, "in", *map(_typed_value, values))
            return self._add_test(column.is_in(self._cast_values(name, values)), key, AMONG, negated=negated)
        sign = self._token.shown
        if sign not in _COMPARISONS:
            self._refuse(f"==, !=, <, <=, >, >=, in or is after the column at {position}")
        self._next += 1
        value = self._check_fits(name, self._value())
        return self._add_test(_COMPARISONS[sign](column, value), (name, sign, _typed_value(value)), COMPARE)

    def _column(self) -> tuple[str, pl.Expr]:
        token = self._token
        name = token.shown.strip("`")
        if token.kind not in ("column", "word") or (token.kind == "word" and name in _WORDS):
            self._refuse("a column")
        if name not in self._schema:
            self._refuse("a column of the items", did_you_mean(name, self._schema.names()))
        self._next += 1
        return name, pl.col(name)

    def _value(self) -> Value:
        token = self._token
        if token.kind == "text":
            value: Value = re.sub(r"\\(.)", r"\1", token.shown[1:-1])
        elif token.kind == "number":
            exact = re.fullmatch(r"-?\d{1,18}", token.shown)  # longer ones fit no integer column
            value = int(token.shown) if exact else float(token.shown)
        elif token.shown in ("true", "false"):
            value = token.shown == "true"
        else:
            self._refuse("a text in quotes, a number, true or false")
        self._next += 1
        return value

    # --- what fits what ---

    def _check_fits(self, name: str, value: Value) -> Value:
        """Returns the value just read if it can be compared with the column."""
        dtype = self._schema[name]
        fits = (
            (isinstance(value, bool) and dtype == pl.Boolean)
            or (isinstance(value, int | float) and not isinstance(value, bool) and dtype.is_numeric())
            or (isinstance(value, str) and dtype in (pl.String, pl.Categorical, pl.Enum))
        )
        if not fits:
            self._next -= 1
            self._refuse(f"a value that fits column {name} ({dtype})", self._fix_for(name, value))
        return value

    def _fix_for(self, name: str, value: Value) -> str:
        """Returns advice about a value that does not fit a column."""
        dtype, fix = self._schema[name], "see docs/filters.md"
        if dtype == pl.String and isinstance(value, int | float) and not isinstance(value, bool):
            seen = self._items[name].drop_nulls().head(1).to_list()
            example = f" such as {seen[0]!r:.40}" if seen else ""
            return f"{name} holds text{example}: put the value in quotes, or make the column one of numbers in the item table"
        if dtype.is_numeric() and isinstance(value, str):
            return f"{name} holds numbers: leave the quotes away"
        if dtype == pl.List:
            return f"{name} holds lists: write {json.dumps(value)} in {name}"
        if dtype == pl.Boolean:
            return f"{name} holds true and false"
        return fix

    def _cast_values(self, name: str, values: list[Value]) -> list[Value]:
        """Returns the values as numbers of the column's type, as polars requires, without those it cannot hold."""
        dtype = self._schema[name]
        if dtype.is_float():
            return [float(value) for value in values]
        if dtype.is_integer():
            return [int(value) for value in values if not isinstance(value, str) and abs(value) < 2**63 and value == int(value)]
        return values

    def _contains(self, name: str, column: pl.Expr, value: Value) -> pl.Expr:
        dtype = self._schema[name]
        inner = getattr(dtype, "inner", None)
        if dtype == pl.List and isinstance(value, str) and inner == pl.String:
            return column.list.contains(value)
        if dtype == pl.List and not isinstance(value, str) and inner is not None and inner.is_numeric():
            return column.cast(pl.List(pl.Float64)).list.contains(float(value))
        if dtype == pl.String and isinstance(value, str):
            return column.str.contains(value, literal=True)
        self._next -= 1
        fitting = "a column of texts or of lists of them" if isinstance(value, str) else "a column of lists of numbers"
        return self._refuse(f"{fitting}; {name} is {dtype}")

    def _add_test(self, test: pl.Expr, key: tuple[object, ...], cost: float, *, negated: bool = False) -> int:
        """Returns the number of a test, the same for equal ones. A missing value passes neither a test nor its opposite."""
        self._looks += 1
        key = (*key, negated)
        if key not in self._tests:
            self._tests[key] = len(self._tests), (~test if negated else test).fill_null(False)
            self._cost += cost
        return self._tests[key][0]

    # --- tokens ---

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, shown: str) -> bool:
        """Returns whether the next token is this one, and moves on if it is."""
        is_next = self._token.kind in ("word", "sign") and self._token.shown == shown
        self._next += is_next
        return is_next

    def _expect(self, shown: str) -> None:
        if not self._take(shown):
            self._refuse(shown)

    def _refuse(self, expected: str, fix: str = "see docs/filters.md") -> NoReturn:
        where = f"filter, character {self._token.position}"
        raise ConfigError(where, expected=expected, got=self._token.shown or "the end", fix=fix)

    def _split(self) -> list[_Token]:
        tokens, position, end = [], 0, len(self._text.rstrip())
        while position < end:
            match = _TOKEN.match(self._text, position)
            if match is None:
                start = position + len(self._text[position:]) - len(self._text[position:].lstrip())
                raise ConfigError(
                    f"filter, character {start + 1}",
                    expected="a column, a value or a sign",
                    got=self._text[start : start + 12],
                    fix="close quotes, and write = as ==",
                )
            kind = str(match.lastgroup)
            tokens.append(_Token(kind, match[kind], match.start(kind) + 1))
            position = match.end()
        return [*tokens, _Token("end", "", end + 1)]


def _typed_value(value: Value) -> tuple[str, Value]:
    """Returns a value with its type, so that true differs from 1 and 1 from 1.0."""
    return type(value).__name__, value
