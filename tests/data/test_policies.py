"""Policies: missing values, kinds of events, duplicates, unknown items, short users; nothing left is one error."""

from __future__ import annotations

from typing import Any

import pytest

from genrec.errors import DataError

ROWS = [f"u{user},i{item},{item * 100_000 + user},{'buy' if item % 2 else 'view'}" for user in range(4) for item in range(6)]
HEADER = "user_id,item_id,timestamp,event_type"
ITEMS = ("item_id,title", *(f"i{i},title {i}" for i in range(6)))


# rows beside the good ones, the policy, rows that are left of all 24 good ones and these, what is said
DROPPED: dict[str, tuple[list[str], dict[str, Any], int, str]] = {
    "no user": ([",i1,5,buy", "NA,i1,5,buy"], {"missing": "drop"}, 24, "missing=drop: removed 2 interactions, 0 users"),
    "no item": (["u1,,5,buy", "u9,null,6,buy"], {"missing": "drop"}, 24, "removed 2 interactions, 1 users, 0 items"),
    "no time": (["u1,i1,,buy"], {"missing": "drop"}, 24, "missing=drop: removed 1 interactions"),
    "doubled": (ROWS[:5], {"duplicates": "drop"}, 24, "duplicates=drop: removed 5 interactions, 0 users, 0 items"),
    "another time": (["u0,i0,7,view"], {"duplicates": "drop"}, 25, "duplicates=drop: removed nothing"),
    "kinds": ([], {"event_types": ["buy"]}, 12, "event_types=['buy']: removed 12 interactions, 0 users, 3 items"),
    "kinds and none": (["u0,i0,7,"], {"event_types": ["buy", "view"]}, 24, "removed 1 interactions"),
    "unknown": (["u0,zzz,7,buy"], {"unknown_items": "drop"}, 24, "unknown_items=drop: removed 1 interactions"),
    "all": (
        [",i1,5,buy", *ROWS[:2], "u0,zzz,7,buy"],
        {"missing": "drop", "duplicates": "drop", "unknown_items": "drop"},
        24,
        "duplicates=drop: removed 2 interactions",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("more", "filters", "left", "said"), DROPPED.values(), ids=DROPPED)
def test_what_is_dropped_is_counted(more, filters, left, said, prepare, csv):
    prepared = prepare({"interactions": csv(HEADER, *ROWS, *more), "items": csv(*ITEMS)}, filters=filters)
    assert prepared.dataset.facts["num_interactions"] == left
    assert said in prepared.said


def test_items_without_ids_and_items_twice(prepare, csv):
    items = csv(*ITEMS, ",nameless", "i2,title 2")
    data = {"interactions": csv(HEADER, *ROWS), "items": items}
    with pytest.raises(DataError, match=r"row 7, column item_id.*filters.missing=drop"):
        prepare(data)
    with pytest.raises(DataError, match=r"'i2' again \(1 repeated rows\).*filters.duplicates=drop"):
        prepare(data, filters={"missing": "drop"})
    prepared = prepare(data, filters={"missing": "drop", "duplicates": "drop"})
    assert prepared.dataset.num_items == 6
    assert "items without an id left out: 1" in prepared.said
    with pytest.raises(DataError, match=r"keep one row per item$"):  # not alike: no setting answers that
        prepare(data | {"items": csv(*ITEMS, "i2,another title")}, filters={"duplicates": "drop"})


SINGLES = [f"v{i},i{i % 6},{i},buy" for i in range(20)]
# rows, settings, where the message stands and what it advises
EMPTY: dict[str, tuple[list[str], dict[str, Any], list[str]]] = {
    "all short, by default": (SINGLES, {}, ["split.short_users", "20 such users", "data.user_id names the users"]),
    "all short, dropped": (SINGLES, {"split": {"short_users": "drop"}}, ["none of 20", "data.user_id names the users"]),
    "no item known": (
        [f"u{i},x{i % 6},{i},buy" for i in range(20)],
        {"filters": {"unknown_items": "drop"}},
        ["'x0' (20 such rows, all there are)", "data.items_key=COLUMN"],
    ),
    "padded items": (
        [f"u{i},0{i % 6},{i},buy" for i in range(20)],
        {"filters": {"unknown_items": "drop"}, "items": ["item_id", *"012345"]},
        ["'00' is '0' there", "set data.ids=numbers"],
    ),
    "all missing": (["u,NA,1,buy", "NA,i1,2,buy"], {"filters": {"missing": "drop"}}, ["filters.missing=drop", "none of 2"]),
    "core": (ROWS, {"filters": {"k_core": 50}}, ["filters.k_core=50", "none of 24", "filters.k_core=0"]),
    "rating": (
        [f"{row},1" for row in ROWS],
        {"filters": {"min_rating": 5}, "header": HEADER + ",rating"},
        ["filters.min_rating=5", "none of 24", "filters.min_rating=null"],
    ),
}


@pytest.mark.parametrize(("rows", "settings", "told"), EMPTY.values(), ids=EMPTY)
def test_nothing_left_is_one_error(rows, settings, told, prepare, csv):
    settings = dict(settings)
    header, items = settings.pop("header", HEADER), settings.pop("items", ITEMS)
    with pytest.raises(DataError) as caught:
        prepare({"interactions": csv(header, *rows), "items": csv(*items)}, **settings)
    for part in told:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "ours", "theirs"), [("numbers", "007", "7"), ("numbers", "7", "0007"), ("lower_case", "A1", "a1")]
)
def test_ids_written_differently_are_joined_by_a_rule(rule, ours, theirs, prepare, csv):
    data = {"interactions": csv("user_id,item_id", *(f"u,{ours}" for _ in range(3))), "items": csv("item_id", theirs)}
    with pytest.raises(DataError, match=f"'{ours}' is '{theirs}' there: set data.ids={rule}"):
        prepare(data)
    assert prepare(data | {"ids": rule}).dataset.num_items == 1
