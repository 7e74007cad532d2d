"""split=column and samples: each event keeps the part that was published, and counts once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrec.data.lib.canonical import canonicalize
from genrec.data.lib.files import read_table
from genrec.data.lib.ids import lists_in, split_bracketed
from genrec.data.samples import Samples
from genrec.errors import ConfigError, DataError

COLUMN = {"_target_": "genrec.data.by_column.ByColumn"}
HEADER = "user_id,item_id,timestamp,split"
PARTED = ["u,a,1,train", "u,b,2,train", "u,c,3,val", "u,d,4,test", "v,a,1,training", "w,b,5,TEST", "w,c,6,test"]


def parts(prepared: Any) -> dict[str, list[tuple[str, str]]]:
    table = prepared.interactions.select("user_id", "item_id", pl.col("part").cast(pl.String))
    return {
        user: list(part.select("item_id", "part").iter_rows())
        for (user,), part in table.partition_by("user_id", as_dict=True).items()
    }


@pytest.mark.parametrize(
    "words", [("train", "val", "test"), ("training", "valid", "testing"), ("Train", "Dev", "TEST"), ("tr", "validation", "te")]
)
def test_every_event_keeps_its_part(words: tuple[str, ...], prepare: Any, csv: Any) -> None:
    train, validation, test = words
    rows = [f"u,d,4,{test}", f"u,a,1,{train}", f"w,b,5,{test}", f"u,c,3,{validation}", f"v,a,1,{train}", f"u,b,2,{train}"]
    made = prepare({"interactions": csv(HEADER, *rows)}, split=COLUMN)
    assert parts(made) == {
        "u": [("a", "train"), ("b", "train"), ("c", "validation"), ("d", "test")],
        "v": [("a", "train")],
        "w": [("b", "test")],
    }
    assert made.dataset.histories("test").lengths.tolist() == [3, 0, 1]  # u (with the validation item), w, v


PART_FILES = [
    (["train.csv", "valid.csv", "test.csv"], True),
    (["All_Beauty.train.csv", "All_Beauty.test.csv"], True),
    (["tr-0.csv", "tr-1.csv", "te-0.csv"], True),
    (["train-0.csv", "train-1.csv"], False),
    (["part-0.csv", "part-1.csv"], False),
    (["train.csv", "sales.csv"], False),
]


@pytest.mark.parametrize(("names", "are_parts"), PART_FILES, ids=lambda value: str(value))
def test_files_of_a_split_are_not_one_table(names: list[str], are_parts: bool, tmp_path: Path) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    for number, name in enumerate(names):
        (folder / name).write_text(f"user_id,item_id,timestamp\nu,a{number},{number}\n", encoding="utf-8")
    if not are_parts:
        assert read_table(folder).height == len(names)
        return
    with pytest.raises(DataError, match=rf"parts of a split: .*{re.escape(names[0])}.*split=column"):
        read_table(folder)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("keep", [("a", "train"), ("late", "train"), ("b", "test")]),
        ("drop", [("a", "train"), ("b", "test")]),
    ],
)
def test_events_after_the_target(policy: str, expected: list[tuple[str, str]], prepare: Any, csv: Any) -> None:
    rows = ["u,a,1,train", "u,b,5,test", "u,late,9,train"]
    made = prepare({"interactions": csv(HEADER, *rows)}, split=COLUMN | {"later_events": policy})
    assert parts(made) == {"u": expected}
    with pytest.raises(DataError, match=r"row 3, column timestamp: expected no train event after .* got 9 \(1 such rows\)"):
        prepare({"interactions": csv(HEADER, *rows)}, split=COLUMN)


@pytest.mark.parametrize(("policy", "users"), [("train", {"u", "v", "w"}), ("drop", {"u", "w"})])
def test_users_without_targets(policy: str, users: set[str], prepare: Any, csv: Any) -> None:
    made = prepare({"interactions": csv(HEADER, *PARTED)}, split=COLUMN | {"short_users": policy})
    assert set(made.dataset.user_ids) == users


def test_a_column_of_another_name_and_no_split_of_it(prepare: Any, csv: Any) -> None:
    file = csv(HEADER.replace("split", "fold"), *PARTED)
    assert parts(prepare({"interactions": file, "split": "fold"}, split=COLUMN))["w"] == [("b", "test"), ("c", "test")]
    made = prepare({"interactions": csv(HEADER, *PARTED)}, split={"short_users": "train"})
    assert "split=column honours that" in made.said


def test_files_of_parts_need_the_split(prepare: Any, csv: Any) -> None:
    head = "user_id,item_id,timestamp"
    files = {"interactions": csv(head, "u,a,1", "u,b,2"), "validation": csv(head, "u,c,3"), "test": csv(head, "u,d,4")}
    made = prepare(files, split=COLUMN)
    assert parts(made) == {"u": [("a", "train"), ("b", "train"), ("c", "validation"), ("d", "test")]}
    with pytest.raises(ConfigError, match=r"split: expected column, because data\.validation is a part of its own"):
        prepare(files)


@pytest.mark.parametrize(
    ("rows", "settings", "expected"),
    [
        (["u,[1],2", 'u,"[1, 2]",3', 'u,"[1, 2, 3]",4'], {}, {"u": ["1", "2", "3", "4"]}),
        (['u,"[1, 2, 3]",4', "u,[1],2", 'u,"[1, 2]",3'], {}, {"u": ["1", "2", "3", "4"]}),  # in any order
        (
            ["u,[1],2", 'u,"[1, 2]",3', 'u,"[2, 3]",4', 'u,"[3, 4]",5'],
            {},
            {"u": ["1", "2", "3", "4", "5"]},
        ),  # cut to the last two
        (['u,"[1, 2]",3', 'u,"[1, 2]",3'], {}, {"u": ["1", "2", "3"]}),  # the same twice
        (["u,[],1", "u,[1],1", 'u,"[1, 1]",2'], {}, {"u": ["1", "1", "2"]}),  # repeats stay
        (['u,"[1, 2]",3', 'u,"[7, 8]",9'], {"users": "rows"}, {"u#0": ["1", "2", "3"], "u#1": ["7", "8", "9"]}),
        (["u,1 2,3", "v,4 5,6"], {}, {"u": ["1", "2", "3"], "v": ["4", "5", "6"]}),
    ],
)
def test_samples_are_put_together(rows: list[str], settings: Any, expected: Any, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("\n".join(["user_id,history,target", *rows]) + "\n", encoding="utf-8")
    table = canonicalize(Samples(interactions=tmp_path / "s.csv", **settings).load()).interactions.sort("user_id", "position")
    assert dict(table.group_by("user_id", maintain_order=True).agg("item_id").iter_rows()) == expected


def test_a_test_target_that_was_trained_on_is_refused(tmp_path: Path) -> None:
    head = "user_id,history,target\n"
    (tmp_path / "train.csv").write_text(head + 'u,"[1, 2]",3\n', encoding="utf-8")
    (tmp_path / "test.csv").write_text(head + "u,[1],2\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"expected a history that continues the other rows of user 'u'"):
        Samples(interactions=tmp_path / "train.csv", test=tmp_path / "test.csv").load()


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("[1, 2]", ["1", "2"]),
        ('["a b", "c"]', ["a b", "c"]),
        ("['B0' 'B1'\n 'B2']", ["B0", "B1", "B2"]),
        ("[10 20  30]", ["10", "20", "30"]),
        ("(7, 8)", ["7", "8"]),
        ("[]", []),
        ("[1.5, 2]", None),
        ("[{'id': 1}]", None),
        ("[1 2 ... 8 9]", None),  # numpy left the middle out
    ],
)
def test_lists_in_text(text: str, ids: list[str] | None) -> None:
    assert split_bracketed(text) == ids


def test_lists_with_other_separators() -> None:
    for sign in "|,; ":
        assert lists_in(pl.Series("h", [f"a1{sign}b2{sign}c3", None, "d4"]), "f").to_list() == [["a1", "b2", "c3"], [], ["d4"]]
