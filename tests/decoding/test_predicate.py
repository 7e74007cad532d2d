"""The filter language against Python's own evaluation of the same words."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.core.deadlines import AbandonedError, while_wanted
from genrec.errors import ConfigError
from genrec.recommender.filter_language import MAX_DEPTH, MAX_LENGTH, allowed_items, read_filter

ROWS: list[dict[str, Any]] = [
    {"item_id": "a", "brand": "OPI", "price": 9.5, "stock": 3, "new": True, "tags": ["red", "gel"], "my col": "x"},
    {"item_id": "b", "brand": None, "price": 3.0, "stock": 0, "new": False, "tags": [], "my col": 'say "hi"'},
    {"item_id": "c", "brand": "Essie", "price": None, "stock": 7, "new": None, "tags": ["blue"], "my col": None},
    {"item_id": "d", "brand": "Essie Gel", "price": -1.0, "stock": 3, "new": True, "tags": None, "my col": "y"},
]
ITEMS = pl.DataFrame(ROWS).with_columns(size=pl.lit("S", dtype=pl.Enum(["S", "M"])), sizes=pl.Series([[1, 2]] * len(ROWS)))


def passing(predicate: str) -> str:
    return "".join(item for item, allowed in zip(ITEMS["item_id"], allowed_items(predicate, ITEMS), strict=True) if allowed)


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        ('brand == "Essie"', "c"),
        ("brand == 'Essie' or price > 5", "ac"),
        ('brand in ["OPI", "Essie"] and stock >= 3', "ac"),
        ('brand not in ["OPI"]', "cd"),
        ('brand != "OPI"', "cd"),
        ('not brand == "OPI"', "bcd"),
        ("brand is null", "b"),
        ("brand is not null and not (stock == 3)", "c"),
        ('"Essie" in brand', "cd"),
        ('"Essie" not in brand', "a"),
        ('"gel" in tags', "a"),
        ("new == true", "ad"),
        ("price <= -1", "d"),
        ("price < 1e1 and price > -.5", "ab"),
        ("`my col` == 'say \"hi\"'", "b"),
        (r'`my col` == "say \"hi\""', "b"),
        ("stock == 3 or stock == 0 and new == true", "ad"),
        ("(stock == 3 or stock == 0) and new == true", "ad"),
        ("(stock == 3 or stock == 0) and new == false", "b"),
        ("price in [3, -1]", "bd"),
        ("2 in sizes and 1.5 not in sizes", "abcd"),
        (f"stock in [3.0, 0.5, 1e999, {'9' * 5000}]", "ad"),
        (f"stock < {'9' * 5000} and stock > -1e999", "abcd"),
        (" or ".join(f"stock == {number}" for number in range(3, 600)), "acd"),
    ],
)
def test_what_passes(predicate: str, expected: str) -> None:
    assert passing(predicate) == expected


tests = st.sampled_from(
    [
        ("stock == 3", lambda row: row["stock"] == 3),
        ("price < 5", lambda row: row["price"] is not None and row["price"] < 5),
        ("brand is null", lambda row: row["brand"] is None),
        ('brand in ["OPI", "x"]', lambda row: row["brand"] in ("OPI", "x")),
    ]
)
trees = st.recursive(
    tests,
    lambda inner: st.one_of(
        inner.map(
            lambda x: (f"not {x[0]}" if " or " not in x[0] and " and " not in x[0] else f"not ({x[0]})", lambda r: not x[1](r))
        ),
        st.tuples(inner, inner).map(lambda p: (f"({p[0][0]}) and ({p[1][0]})", lambda r: p[0][1](r) and p[1][1](r))),
        st.tuples(inner, inner).map(lambda p: (f"({p[0][0]}) or ({p[1][0]})", lambda r: p[0][1](r) or p[1][1](r))),
    ),
    max_leaves=6,
)


@given(trees)
def test_any_combination_is_what_python_says(tree: tuple[str, Any]) -> None:
    predicate, expected = tree
    assert allowed_items(predicate, ITEMS).tolist() == [expected(row) for row in ROWS]


@pytest.mark.parametrize(
    ("predicate", "message"),
    [
        ("size < 'XL'", "got size < 'XL'; polars says: .*XL"),
        ("", "character 1: expected a column, got the end"),
        ("brnd == 'x'", "got brnd; did you mean brand"),
        ("brand = 'x'", "character 7.*got = 'x'"),
        ("brand == 'x", "character 10.*got 'x"),
        ("brand == 3", "fits column brand.*got 3"),
        ("price == 'cheap'", "fits column price.*got 'cheap'"),
        ("stock == true", "fits column stock.*got true"),
        ("stock in [1, 'a']", "fits column stock.*got 'a'"),
        ("stock in []", r"character 11: expected a text in quotes, a number, true or false, got \]"),
        ("stock", "expected ==, !=.*got the end"),
        ("stock == 3 brand == 'x'", "character 12: expected and, or, or the end, got brand"),
        ("(stock == 3", r"expected \), got the end"),
        ("and == 3", "expected a column, got and"),
        ("3 in stock", "of lists of numbers; stock is Int64.*got stock"),
        ("3 in tags", "of lists of numbers; tags is List.*got tags"),
        ("__import__('os')", "got __import__"),
        ("not " * (MAX_DEPTH + 1) + "stock == 3", f"at most {MAX_DEPTH} parentheses or nots"),
        ("stock == 3" + " " * MAX_LENGTH + "or stock == 4", "got 10,023 characters"),
    ],
)
def test_what_cannot_be_read(predicate: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        allowed_items(predicate, ITEMS)


@given(st.text(alphabet="stock=<> and(or)not in[]'\"3.`price,", max_size=40))
def test_nothing_else_happens(predicate: str) -> None:
    """Any text is a filter or a ConfigError."""
    with suppress(ConfigError):
        assert len(allowed_items(predicate, ITEMS)) == len(ROWS)


@pytest.mark.parametrize(
    ("predicate", "cost"),
    [
        ("stock == 3", 1.5),
        ("stock == 3 or stock == 4", 3.0),
        ("stock == 3 or (stock == 3 and not stock == 3)", 1.5),
        ("stock == 3 or stock == 3.0", 3.0),
        ("brand in ['a', 'b']", 5.0),
        ("'e' in brand", 25.0),
        (" or ".join(f"'e{number}' in brand" for number in range(100)), 2500.0),
        ("stock is null and stock is not null", 3.0),
    ],
)
def test_the_price_is_known_before(predicate: str, cost: float) -> None:
    """A comparison, a list of values, a look into texts; what is asked twice is done once."""
    one = read_filter(predicate, ITEMS)
    assert one.cost == pytest.approx(cost, rel=0.1, abs=0.6)


def test_equal_tests_are_made_once() -> None:
    """Fifty times the same text test is one pass."""
    one = read_filter(" or ".join(["'e' in brand"] * 50 + ["new == true"] * 50), ITEMS)
    assert len(one.tests) == 2
    assert one.passing_items(ITEMS).tolist() == [True, False, True, True]


def test_passes_end_when_nobody_waits() -> None:
    one, asked = read_filter(" or ".join(f"stock == {number}" for number in range(100)), ITEMS), []
    with pytest.raises(AbandonedError), while_wanted(lambda: not asked.append(1) and len(asked) < 3):
        one.passing_items(ITEMS)
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("predicate", "advice"),
    [
        ("brand < 20", "brand holds text such as 'OPI': put the value in quotes, or make the column one of numbers"),
        ("brand in ['x', 3]", "brand holds text such as 'OPI'"),
        ("price < '20'", "price holds numbers: leave the quotes away"),
        ("tags == 'red'", 'tags holds lists: write "red" in tags'),
        ("new == 1", "new holds true and false"),
        ("brand = 'x'", "close quotes, and write = as =="),
        ("brand", "see docs/filters.md"),
    ],
)
def test_messages_say_what_the_column_holds(predicate: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(advice)):
        allowed_items(predicate, ITEMS)
