"""Every command of docs/data.md runs, on small files of the names that the page uses."""

from __future__ import annotations

import re
import shlex
import zipfile
from collections.abc import Iterator
from pathlib import Path

import file_kinds as make
import polars as pl
import pytest
from file_kinds import ALL, RIGHT, TITLES, put, rows

from genrec.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
COMMANDS = [
    line
    for block in re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("genrec ")
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write(folder)
        yield folder


def write(folder: Path) -> None:
    events = [(e.user, e.item, e.seconds) for e in ALL]
    header = "user_id,item_id,timestamp"
    put(folder / "shop.csv", rows(events, header=header))
    put(folder / "items.csv", rows(list(TITLES.items()), header="item_id,title"))
    make.recbole(folder)
    make.recbole_items(folder)
    put(folder / "ratings.csv", rows(events, header="userId,movieId,timestamp"))
    put(folder / "clicks.dat", rows([(e.user, make.iso(e), e.item, 0) for e in ALL]))
    put(folder / "pairs.txt", rows([(e.user, e.item) for e in ALL], " "))
    put(folder / "sales.csv", rows([(e.user, e.item, make.us_date(e)) for e in ALL], header=header))
    make.spark(folder)
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        for name in ("ratings.csv", "other.csv"):
            archive.writestr(name, rows(events, header=header))
    make.sequence_text(folder)
    make.inter_json(None)(folder)
    make.item_json(2)(folder)
    put(folder / "lists.jsonl", make.json_lines([{"user_id": user, "items": items} for user, items in RIGHT.items()]))
    make.sample_files(folder)
    make.amazon_m2(folder).rename(folder / "sessions.csv")
    make.nested_sessions(folder).rename(folder / "otto.jsonl")
    parts = {user: ["train"] * (len(items) - 2) + ["val", "test"] for user, items in RIGHT.items()}
    fixed = [(*event, parts[e.user][e.number]) for event, e in zip(events, ALL, strict=True)]
    put(folder / "fixed.csv", rows(fixed, header=f"{header},part"))
    for part, name in (("train", "train"), ("val", "valid"), ("test", "test")):
        put(folder / f"part_{name}.csv", rows([row[:3] for row in fixed if row[3] == part], header=header))
    for part, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        table = pl.DataFrame([row[:3] for row in fixed if row[3] == part], schema=header.split(","), orient="row")
        (folder / "hub" / "data").mkdir(parents=True, exist_ok=True)
        table.write_parquet(folder / "hub" / "data" / f"{name}-00000-of-00001.parquet")
    put(folder / "products.jsonl", make.json_lines([{"item_id": item, "title": title} for item, title in TITLES.items()]))
    make.movielens("1m", folder)
    make.mind(folder / "mind")
    put(folder / "gaps.csv", rows([*events, *events[:2], (None, "501", 5)], header=header))
    kinds = [(*event, "purchase" if e.number else "view") for event, e in zip(events, ALL, strict=True)]
    put(folder / "kinds.csv", rows(kinds, header=f"{header},event_type"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_runs(command: str, shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if "shop.yaml" in command and not (shop / "shop.yaml").exists():
        assert main(["init", "shop.csv", "--items", "items.csv"]) == 0
    elif command.startswith("genrec init"):
        (shop / "shop.yaml").unlink(missing_ok=True)
    code = main(shlex.split(command)[1:])
    assert code == 0, capsys.readouterr().err


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) > 20
