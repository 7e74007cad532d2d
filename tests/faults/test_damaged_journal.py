"""A journal of a killed process, flipped, cut, emptied or deleted: it is refused, or it has all that was acknowledged."""

from __future__ import annotations

import shutil
import sqlite3
from functools import partial
from pathlib import Path

import pytest
from damage import flipped
from ledger import Ledger

from genrec.errors import ArtifactError
from genrec.recommender.journal import JOURNAL_FILE, LOCK_FILE, Journal

LOG = f"{JOURNAL_FILE}-wal"
ITEMS = [{"item_id": f"i{number}", "title": f"{number} " * 40} for number in range(60)]


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """What a process leaves that dies with some of its writes in the database and some in SQLite's log."""
    journal = Journal(tmp_path / "state")
    for item in ITEMS[:30]:
        journal.add([item])
    journal.close()
    journal = Journal(tmp_path / "state")
    for item in ITEMS[30:]:
        journal.add([item])
    journal.mark(["i3", "i50"], removed=True)
    shutil.copytree(tmp_path / "state", tmp_path / "killed")
    journal.close()
    return tmp_path / "killed"


def read(folder: Path) -> tuple[list[object], list[str]]:
    journal = Journal(folder)
    try:
        return list(journal.added()), journal.removed()
    finally:
        journal.close()


def test_the_copy_is_whole(killed: Path) -> None:
    assert (killed / LOG).stat().st_size > 10_000
    assert read(killed) == (ITEMS, ["i3", "i50"])


def test_every_region(killed: Path, tmp_path: Path, ledger: Ledger) -> None:
    refused = 0
    for name in (JOURNAL_FILE, LOG):
        whole = (killed / name).read_bytes()
        places = [*range(0, 100, 9), *range(0, len(whole), len(whole) // 40), len(whole) - 1]
        damaged = [flipped(whole, place) for place in places] + [whole[:place] for place in places[::5]] + [b""]
        for number, content in enumerate([*damaged, None]):
            folder = tmp_path / f"{name}{number}"
            shutil.copytree(killed, folder)
            (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
            ledger.inject("journal damaged")
            line = ledger.told(folder.name, partial(read, folder), str(folder))
            refused += line is not None
            ledger.kept(folder.name, line is not None or read(folder) == (ITEMS, ["i3", "i50"]))
            shutil.rmtree(folder)
    assert refused > 50, "most of it matters"


def test_an_older_copy_needs_a_word(killed: Path, tmp_path: Path) -> None:
    """It lacks writes, so it is refused; without the lock file it is what somebody wants."""
    (killed / LOG).unlink()
    with pytest.raises(ArtifactError, match=r"got one of \d+ writes where there were 61; restore a copy, or remove .*lock"):
        Journal(killed)
    (killed / LOCK_FILE).unlink()
    assert read(killed) == (ITEMS[:30], [])


def test_a_journal_from_before_writes_were_counted(killed: Path) -> None:
    with sqlite3.connect(killed / JOURNAL_FILE) as database:
        database.execute("DROP TABLE writes")
    database.close()
    (killed / LOCK_FILE).write_text("4711", encoding="utf-8")
    assert read(killed) == (ITEMS, ["i3", "i50"])
