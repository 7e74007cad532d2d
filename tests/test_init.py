"""`genrec init`: what it finds, that everything it advises can be typed, and that what it writes is what prepare reads."""

from __future__ import annotations

import random
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrec.cli import main
from genrec.commands.init import usable_name
from genrec.engine.config import compose

Answer = tuple[int, str]


@pytest.fixture
def genrec(tmp_path, monkeypatch, capsys) -> Callable[..., Answer]:
    """genrec("init", "x.csv") -> (exit code, everything it said), in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Answer:
        code = main(list(words))
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def command_in(said: str) -> list[str]:
    """The command that init prints, as a shell takes it apart, without ``genrec``."""
    (command,) = re.findall(r"^run it with: genrec (.*)$", said, re.MULTILINE)
    return shlex.split(command)


def runs(genrec: Callable[..., Answer], said: str, *more: str) -> str:
    """Runs what init printed, as far as prepare; what it says."""
    command = command_in(said)
    assert command[0] == "run"
    code, answer = genrec("prepare", *command[1:], *more)
    assert code == 0, answer
    return answer


def shop(folder: Path) -> None:
    """A messy shop: semicolons, decimal commas, empty ids, doubled rows, HTML, an unknown item, one-time buyers."""
    luck = random.Random(3)
    rows = []
    for user in range(60):
        for _ in range(luck.choice([1, 2, 5, 8])):
            time = datetime(2024, 1, 1) + timedelta(seconds=luck.randrange(10**7))
            kind = luck.choice(["view", "view", "buy"])
            rows.append(
                [f"C{user:03}", f"S{luck.randrange(40):03}", f"{time:%d.%m.%Y %H:%M:%S}", kind, f"{luck.randrange(99)},50"]
            )
    good = len(rows)
    rows += [list(row) for row in rows[:7]]
    for row in range(10, 15):
        rows[row][0] = ""
    for row in range(20, 24):
        rows[row][1] = "NA"
    for row in range(30, 33):
        rows[row][2] = "NULL"
    for row in range(40, 46):
        rows[row][1] = "S999"
    rows[good - 1][2] = "0000-00-00"
    text = "\n".join(";".join(row) for row in [["customer", "sku", "seen", "what", "paid"], *rows])
    (folder / "my shop.csv").write_text(text + "\n", encoding="utf-8")
    items = [f'S{i:03};"Käse {i}"" rund";Home > Food;"<p>Good &amp; cheap</p>";{i},99' for i in range(39)] + [
        "S039;蓝牙音箱;Home;;1,0"
    ]
    (folder / "goods.csv").write_text("\n".join(["sku;title;category;description;price", *items]) + "\n", encoding="utf-8")


def test_a_messy_shop_takes_one_command(genrec, tmp_path):
    shop(tmp_path)
    code, said = genrec("init", "my shop.csv", "--items", "goods.csv")
    assert code == 0
    for part in (
        "timestamp   <- seen",
        "event_type  <- what",
        "separator ';', encoding utf-8",
        "decimal comma in paid",
        "times: from 2024-01-0",
        "kinds of events (what): view",
        "largest history: ",
        "text of the items: title, category, description",
        "description: HTML in 39 values",
        "title: 1 values in a script without blanks",
        "5 interactions without a value in customer (user_id): set filters.missing=drop",
        "4 interactions without a value in sku (item_id): set filters.missing=drop",
        "7 interactions that repeat another one exactly: set filters.duplicates=drop",
        "6 interactions with items (1) that the table of items lacks, such as 'S999': set filters.unknown_items=drop",
        "1 values of seen that are no times: 0000-00-00: set filters.missing=drop",
        "users with fewer than 3 events, whom leave-one-out cannot split: set split.short_users=drop; split.short_users=train",
    ):
        assert part in said
    answer = runs(genrec, said)
    left = re.search(r"it loads: (.*) interactions of (.*) users with", said)
    assert left is not None
    assert f"dataset: {left[2]} users" in answer
    assert f", {left[1]} interactions (" in answer
    for line in ("missing=drop", "duplicates=drop", "unknown_items=drop", "split (users with too few events)"):
        assert f"{line}: removed" in answer


def test_what_the_yaml_sets_gives_way_to_the_command_line(genrec, tmp_path):
    shop(tmp_path)
    genrec("init", "my shop.csv", "--items", "goods.csv", "--out", "shop.yaml")
    assert compose(["data=./shop.yaml"]).tree["split"]["short_users"] == "drop"
    assert compose(["data=./shop.yaml", "split.short_users=train"]).tree["split"]["short_users"] == "train"
    tree = compose(["data=./shop.yaml", "split=temporal", "filters=five_core"]).tree
    assert "short_users" not in tree["split"]
    assert (tree["filters"]["k_core"], tree["filters"]["missing"]) == (5, "drop")
    assert "settings" not in tree["data"]


def table(**columns: list[Any]) -> str:
    return pl.DataFrame(columns, strict=False).write_csv()


USERS = [f"u{i // 5}" for i in range(50)]
ITEMS = [f"i{i % 9}" for i in range(50)]
SECONDS = [1_600_000_000 + 1_000 * ((i * 7) % 50) for i in range(50)]
DAYS = [f"2020-01-{1 + i % 28:02}" for i in range(50)]
STAMPS = [f"{datetime(2020, 1, 1) + timedelta(seconds=i * 61):%Y-%m-%dT%H:%M:%S}" for i in range(50)]
BORN = [f"19{60 + i // 5}-01-01" for i in range(50)]
RELEASED = [f"2019-0{1 + i % 9}-01" for i in range(50)]

# the table, the column that must be the time (None: none), what must be said
TIMES: dict[str, tuple[str, str | None, str]] = {
    "an order number": (

        table(user=USERS, item=ITEMS, order=list(range(50)), created=STAMPS), "created", "order may be a place"),
    "a row index": (table(index=list(range(50)), user=USERS, item=ITEMS, timestamp=SECONDS), "timestamp", "index may be"),
    "a step": (table(user=USERS, item=ITEMS, step=list(range(50)), day=DAYS), "day", "--position COLUMN"),
    "another name": (table(user=USERS, item=ITEMS, last_watch_dt=DAYS), "last_watch_dt", "times: from 2020-01-01"),
    "a name that says nothing": (table(user=USERS, item=ITEMS, x=STAMPS), "x", "times: from 2020-01-01 00:00:00"),
    "seconds without a name": (table(user=USERS, item=ITEMS, col3=SECONDS), "col3", "times: from 2020-09-13"),
    "a day and a time": (

        table(user=USERS, item=ITEMS, date=DAYS, time_ms=[1000 * s for s in SECONDS]), "time_ms", "others: date (28"),
    "compact": (table(user=USERS, item=ITEMS, dt=[int(day.replace("-", "")) for day in DAYS]), "dt", "2020-01-28"),
    "of users and items": (table(user=USERS, item=ITEMS, born=BORN, released=RELEASED, seen=DAYS), "seen", "others: "),
    "ctime": (

        table(user=USERS, item=ITEMS, utc=[f"Tue Apr 03 18:00:{i:02} +0000 2012" for i in range(50)]), "utc", "2012-04-03"),
    "none": (table(user=USERS, item=ITEMS, price=[i * 1.5 for i in range(50)]), None, "WARNING: no column holds times"),
    "only a position": (table(user=USERS, item=ITEMS, position=list(range(50))), None, "WARNING: no column holds times"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "time", "told"), TIMES.values(), ids=TIMES)
def test_the_time_is_found_by_what_stands_in_it(content, time, told, genrec, tmp_path):
    (tmp_path / "x.csv").write_text(content, encoding="utf-8")
    code, said = genrec("init", "x.csv")
    assert code == 0, said
    assert told in said
    assert (f"timestamp   <- {time}\n" in said) if time else ("timestamp   <-" not in said)
    assert "position    <-" not in said
    answer = runs(genrec, said)
    if "position" in content and time is None:  # the table's own name: used, since there is no time, and told
        assert "order: by position" in answer
    else:
        assert ("WARNING" in answer) == (time is None)


def test_a_position_that_is_asked_for_gives_the_order(genrec, tmp_path):
    (tmp_path / "x.csv").write_text(TIMES["an order number"][0], encoding="utf-8")
    _, said = genrec("init", "x.csv", "--position", "order")
    assert "order: by position" in runs(genrec, said)


MISSING = table(sessionId=[i // 5 for i in range(50)], userId=["NA"] * 47 + ["1", "2", "3"], itemId=ITEMS, time=SECONDS)


def test_a_column_of_users_that_is_mostly_empty_gives_way(genrec, tmp_path):
    (tmp_path / "x.csv").write_text(MISSING, encoding="utf-8")
    _, said = genrec("init", "x.csv")
    assert "user_id     <- sessionId" in said
    assert "userId is empty in 94% of the rows" in said
    _, said = genrec("init", "x.csv", "--user", "userId", "--out", "y.yaml")
    assert "47 interactions without a value in userId" in said


# what stands in the file, words of init, the message
REFUSED: dict[str, tuple[str, str]] = {
    "us or british": (

        table(user=USERS, item=ITEMS, when=[f"0{1 + i % 9}/0{1 + i % 7}/2020" for i in range(50)]), "can be distinguished"),
    "no header": (
        "".join(f"{u},{i},{s}\n" for u, i, s in zip(range(50), range(50), SECONDS, strict=True)), "names of the columns"),
    "no item": (table(user=USERS, thing=ITEMS), "looks like item_id"),
    "padded and unknown": ("user,item\nu,a\nu,b,c\n", "line 3"),
    "latin-1": ("user,item,name\nu,i,\udce9\n", "data.encoding=cp1252"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_guessed_is_asked_for_in_one_line(content, told, genrec, tmp_path):
    (tmp_path / "x.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    code, said = genrec("init", "x.csv")
    assert code == 2
    assert told in said
    assert said.count("\n") == 1
    assert not (tmp_path / "x.yaml").exists()


@pytest.mark.parametrize("name", ["us or british", "no header", "latin-1"])
def test_the_remedy_of_a_refusal_works_when_it_is_typed(name, genrec, tmp_path):
    (tmp_path / "x.csv").write_bytes(REFUSED[name][0].encode("utf-8", "surrogateescape"))
    _, said = genrec("init", "x.csv")
    command = re.search(r"genrec (init .*)$", said, re.MULTILINE)
    settings = re.findall(r"data\.(?:date_format|encoding)=\w+", said)
    for words in [shlex.split(command[1])] if command else [["init", "x.csv", setting] for setting in settings]:
        for yaml in tmp_path.glob("*.yaml"):
            yaml.unlink()
        code, answer = genrec(*words)
        assert code == 0, answer
        if "run it with" in answer:
            runs(genrec, answer)


def test_every_setting_that_is_advised_can_be_typed(genrec, tmp_path):
    """All settings in what init and prepare say are accepted by prepare."""
    shop(tmp_path)
    _, said = genrec("init", "my shop.csv", "--items", "goods.csv", "--out", "shop.yaml")
    advised = set(re.findall(r"(?<![\w.])(?:filters|split|data|order)\.\w+=[\w\[\],.]*[\w\]]", said))
    assert {"filters.missing=drop", "split.short_users=train", "filters.event_types=[buy]"} <= advised
    for setting in sorted(advised):
        code, answer = genrec("prepare", "data=./shop.yaml", setting, "name=x")
        assert code == 0, (setting, answer)
    data = ["data=tables", "data.interactions=my shop.csv", "data.user_id=customer", "data.item_id=sku", "data.timestamp=seen"]
    data = [*data, "data.items=goods.csv", 'data.decimal=","']
    for _ in range(9):  # from one refusal to the next, each time doing what it says
        code, answer = genrec("prepare", *data, "name=y")
        if code == 0:
            break
        settings = re.findall(r"(?<![\w.])(?:filters|split)\.\w+=[\w]+", answer)
        if not settings:
            assert "'0000-00-00'" in answer  # no setting repairs a row; its text can be named
            settings = ['data.missing_values=["NA","NULL","0000-00-00"]']
        data += [setting for setting in settings[:1] if setting not in data]
    assert code == 0, answer


@pytest.mark.parametrize(
    "name", ["my sales (2024).csv", "Käufe März.csv", "продажи.csv", "007.csv", "null.csv", "it's, 50%.csv", "a=b.csv"]
)
def test_the_command_runs_whatever_the_file_is_called(name, genrec, tmp_path):
    (tmp_path / name).write_text(table(user_id=USERS, item_id=ITEMS, timestamp=SECONDS), encoding="utf-8")
    code, said = genrec("init", name)
    assert code == 0, said
    assert "50 interactions of 10 users" in runs(genrec, said)
    (tmp_path / "odd folder, 1").mkdir()
    _, said = genrec("init", name, "--out", "odd folder, 1/it's.yaml")
    assert "up to date" in runs(genrec, said)


def test_names():
    assert [usable_name(name) for name in ("x/my sales.csv.gz", r"C:\shop\Käufe.csv", "007.csv", "продажи.csv", "-.csv")] == [
        "my_sales", "Kaufe", "data_007", "data", "data",
    ]  # fmt: skip


def test_the_yaml_works_from_anywhere(genrec, tmp_path, monkeypatch):
    (tmp_path / "project" / "data").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "project" / "data" / "x.csv").write_text(
        table(user_id=USERS, item_id=ITEMS, timestamp=SECONDS), encoding="utf-8"
    )
    genrec("init", "project/data/x.csv", "--out", "project/shop.yaml")
    assert 'interactions: "data/x.csv"' in (tmp_path / "project" / "shop.yaml").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, said = genrec("prepare", "data=../project/shop.yaml", "name=x")
    assert code == 0, said
    (tmp_path / "project").rename(tmp_path / "moved")
    code, said = genrec("prepare", "data=../moved/shop.yaml", "name=y")
    assert code == 0, said
    monkeypatch.setenv("HOME", str(tmp_path / "moved"))
    code, said = genrec("init", "~/data/x.csv", "--out", "~/home.yaml")
    assert code == 0, said
    assert genrec("prepare", "data=~/home.yaml", "name=z")[0] == 0


def test_items_with_columns_of_their_own_names(genrec, tmp_path):
    (tmp_path / "x.csv").write_text(table(user_id=USERS, item_id=ITEMS, timestamp=SECONDS), encoding="utf-8")
    names = [f"Ding {i} aus Holz" for i in range(9)]
    (tmp_path / "i.csv").write_text(
        table(kennung=[f"i{i}" for i in range(9)], bezeichnung=names, gewicht=list(range(9))), encoding="utf-8"
    )
    _, said = genrec("init", "x.csv", "--items", "i.csv")
    assert "no text column has a usual name; taken: bezeichnung" in said
    tree = compose([word for word in command_in(said) if word.startswith("data=")]).tree
    assert tree["data"]["items_key"] == "kennung"
    assert tree["encoder"]["sources"]["text"]["columns"] == ["bezeichnung"]
    code, answer = genrec("embed", *command_in(said)[1:])
    assert code == 0, answer
    assert "text 9" in answer
    _, said = genrec("init", "x.csv", "--items", "i.csv", "--text", "bezeichnung", "gewicht", "--out", "y.yaml")
    assert compose(["data=./y.yaml"]).tree["encoder"]["sources"]["text"]["columns"] == ["bezeichnung", "gewicht"]


def test_items_of_another_make_than_the_interactions(genrec, tmp_path):
    (tmp_path / "x.csv").write_text(table(user_id=USERS, item_id=ITEMS, timestamp=SECONDS).replace(",", ";"), encoding="utf-8")
    (tmp_path / "i.csv").write_text(
        table(item_id=[f"i{i}" for i in range(9)], title=["a, b"] * 9, price=[i + 0.5 for i in range(9)]), encoding="utf-8"
    )
    _, said = genrec("init", "x.csv", "--items", "i.csv")
    assert "read 9 items" in runs(genrec, said)


def test_robots_and_lists_are_pointed_at(genrec, tmp_path):
    users = [*USERS, *(f"w{i // 3}" for i in range(60)), *["robot"] * 50]
    items = [f"{i % 9}|{(i + 1) % 9}|{(i + 4) % 7}" for i in range(len(users))]
    (tmp_path / "x.csv").write_text(table(user_id=users, item_id=items, timestamp=[*range(len(users))]), encoding="utf-8")
    _, said = genrec("init", "x.csv")
    assert "events of one user, 'robot': 31% of all" in said
    assert "that look like lists of items" in said


def test_init_does_without_torch():
    code = "import sys, genrec.commands.init; print(sorted({'torch', 'scipy', 'pandas', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


OTHER_MEANINGS = [
    ("fold", ["train", "valid", "test"], "data.split=fold split=column"),
    ("Part", ["TRAIN", "Test"], "data.split=Part split=column"),
    ("half", ["train", "other"], None),
    ("seen", ['"[1, 2]"', '"[3]"'], "data=samples data.history=seen data.target=item_id"),
    ("seen", ["['a' 'b']", "['c']"], "data=samples data.history=seen data.target=item_id"),
    ("place", ["north", "south"], None),
]


@pytest.mark.parametrize(("column", "values", "settings"), OTHER_MEANINGS)
def test_a_column_that_says_what_rows_are_is_told(column, values, settings, genrec, tmp_path):
    rows = [f"u{u},i{(u + i) % 5},{10 * u + i},{values[i % len(values)]}" for u in range(6) for i in range(6)]
    (tmp_path / "x.csv").write_text("\n".join([f"user_id,item_id,timestamp,{column}", *rows]), encoding="utf-8")
    code, said = genrec("init", "x.csv", "--item", "item_id")
    assert code == 0, said
    told = [line for line in said.splitlines() if line.startswith(f"  {column} ")]
    assert [line.endswith(settings or "nothing") for line in told] == ([True] if settings else [])
    if settings and settings.endswith("split=column"):
        assert "split: column" in runs(genrec, said, *settings.split(), "split.later_events=keep")
    elif settings:
        code, said = genrec(
            "prepare", *settings.split(), "data.interactions=x.csv", "name=samples", "data.users=rows", "split.short_users=drop"
        )
        assert code == 0, said


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pl.Series([True, False]), "Boolean"),
        (pl.Series([timedelta(1), timedelta(2)]), "Duration"),
        (pl.Series([{"a": 1}, {"a": 2}]), "Struct"),
        (pl.Series([b"\xff", b"a"]), "UTF-8"),
        (pl.Series([1.5, 2.5]), "1.5"),
    ],
    ids=str,
)
def test_a_column_with_the_right_name_and_a_wrong_type_is_named(column, kind, genrec, tmp_path):
    for key, other in (("user_id", "item_id"), ("item_id", "user_id")):
        pl.DataFrame({key: column, other: ["a", "b"]}).write_parquet(tmp_path / f"{key}.parquet")
        code, said = genrec("init", f"{key}.parquet")
        assert code == 2
        assert re.search(rf"column {key}: expected ids .*{re.escape(kind)}", said), said
