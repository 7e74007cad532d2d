"""Requests as nobody in their right mind would send them, and those that are nearly right."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

_COLUMNS = ("even", "item_id", "code_0", "odd", "`item_id`", "null", "ÄÖ")
_VALUES = ("true", "3", "-1e400", "'i3'", '"i', "null", "[1]", "9" * 30, "0x1f", "'\\''", "NaN")
_SIGNS = ("==", "!=", "<", ">=", "in", "not in", "is", "is not", "=", "&&", "like", "; drop table items")
_right = st.sampled_from(
    ["even == true", "even != false", "item_id == 'i3'", "item_id in ['i1', 'i2']", "code_0 < 2", "even is null"]
)
_odd = st.tuples(st.sampled_from(_COLUMNS), st.sampled_from(_SIGNS), st.sampled_from(_VALUES)).map(" ".join)
_test = st.one_of(_right, _right, _right, _odd)
_tree = st.recursive(
    _test,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or ", " not "]), inner).map("".join),
        inner.map("not {}".format),
        inner.map("({})".format),
    ),
    max_leaves=6,
)
_words = st.lists(st.sampled_from((*_COLUMNS, *_VALUES, *_SIGNS, "(", ")", ",")), max_size=9).map(" ".join)
filters = st.one_of(_tree, _words, st.text())
ids = st.sampled_from([f"i{number}" for number in range(15)] + ["", "nobody", "i1\0", "\ud800", "x" * 1001])
_huge = st.sampled_from([2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**40, -(10**400), 1e308, -1e999, 5e-324])
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), ids, _huge)
junk = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=5
)


def _or_junk(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda place: junk if place == 0 else strategy)


def _body(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Any]:
    fields = {name: _or_junk(strategy) for name, strategy in (required | optional).items()}
    needed = {name: fields[name] for name in required}
    whole = st.fixed_dictionaries(needed, optional={name: fields[name] for name in optional})
    lacking = st.fixed_dictionaries({}, optional={**fields, "more": junk})
    return st.integers(0, 9).flatmap(lambda place: (lacking, junk)[place] if place < 2 else whole)


_amounts = st.one_of(st.floats(-5, 5), st.floats())
_item = st.fixed_dictionaries({}, optional={"item_id": ids, "even": _or_junk(st.booleans()), "colour": scalars})
_settings = {
    "k": st.integers(-1, 30),
    "filter": filters,
    "steer": st.dictionaries(filters, _amounts, max_size=3),
    "quota": st.dictionaries(st.sampled_from(_COLUMNS), st.integers(-1, 3) | _huge, max_size=3),
    "exclude_seen": st.booleans(),
}
BODIES = {
    "/recommend": _body({"histories": st.lists(st.lists(ids, max_size=6), max_size=4)}, _settings),
    "/explain": _body({"history": st.lists(ids, max_size=6), "item_id": ids}, {"last": st.integers(-1, 101) | _huge}),
    "/beams": _body({"history": st.lists(ids, max_size=6)}, {key: _settings[key] for key in ("k", "filter", "steer")}),
    "/items/remove": _body({"item_ids": st.lists(ids, max_size=3)}, {}),
    "/items/restore": _body({"item_ids": st.lists(ids, max_size=3)}, {}),
    "/similar": _body({"item_id": ids}, {"k": st.integers(-1, 30), "filter": filters}),
    "/items": _body({"items": st.lists(_item, max_size=3)}, {}),
}


LARGE = [  # of the wrong shape, and as long as a body may be
    '{"histories": [' + "1," * 9_000 + "1]}",
    '{"histories": [[' + '{"a": [1]},' * 1_500 + "1]]}",
    '{"histories": ' + "[" * 9_000 + "]" * 9_000 + "}",
    '{"histories": [[]], "quota": {' + ",".join(f'"c{row}": "x"' for row in range(1_000)) + "}}",
    '{"histories": [["' + "\\ud83d" * 3_000 + '"]]}',
    '{"histories": [[]], "k": ' + "9" * 4_000 + "}",
    '{"histories": [[]], "' + "x" * 15_000 + '": 1}',
    "[" + "{}," * 6_000 + "0]",
]


@st.composite
def fuzzed(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """Method, path with query, body."""
    if draw(st.integers(0, 19)) == 0:
        return "DELETE", "/items?" + draw(st.text(st.characters(codec="ascii"), max_size=30)), b""
    path = draw(st.sampled_from([*BODIES, "/recommend", "/recommend"]))
    body = json.dumps(draw(BODIES[path])).encode()
    place = draw(st.integers(0, 19))
    if place == 2:
        body = draw(st.sampled_from(LARGE)).encode()
    elif place == 3:
        path = "/items" if path == "/similar" else path
        return draw(st.sampled_from(["PATCH", "PUT", "QUERY"])), path, body
    if place < 2:
        cut = draw(st.integers(0, len(body)))
        body = body[:cut] + draw(st.binary(max_size=4)) + body[cut + draw(st.integers(0, 3)) :]
    return "POST", path, body
