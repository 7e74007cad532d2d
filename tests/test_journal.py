"""The journal: what was acknowledged is there again, one process at a time, and damage is told."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from genrec.errors import ArtifactError
from genrec.recommender.journal import JOURNAL_FILE, Entry, Journal

ITEMS = [{"item_id": "a", "title": "Ä"}, {"item_id": "b", "price": 1.5, "tags": ["x"]}]


def test_the_newest_state_of_every_item(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "state")
    journal.mark(["c", "a"], removed=True)
    journal.add(ITEMS)
    journal.add([{"item_id": "b", "price": 9.0}])
    journal.mark(["b"], removed=True)
    journal.add([ITEMS[0]])
    journal.update([{"item_id": "b", "tags": None}, {"item_id": "d", "price": 2.5}])
    journal.update([{"item_id": "d", "price": 3.5}], reassign=True)
    for one in (journal, Journal(None)):
        one.close()
    again = Journal(tmp_path / "deep" / "state")
    assert again.added() == [ITEMS[0], ITEMS[1] | {"tags": None}]
    assert again.removed() == ["c", "a", "b"], "what comes once more stays removed"
    entries = {entry.item_id: entry for entry in again.entries()}
    assert [entry.updated for entry in entries.values()] == [False, False, True, True]
    assert entries["b"].basis == ITEMS[1], "its ID is by the content that it came with"
    assert entries["d"] == Entry("d", {"item_id": "d", "price": 3.5}, updated=True, basis={"item_id": "d", "price": 3.5})
    again.close()
    with pytest.raises(ArtifactError, match="can be written"):
        again.add(ITEMS)


WRITER = """
import sys
from pathlib import Path
from genrec.recommender.journal import Journal
journal = Journal(Path(sys.argv[1]))
for number in range(100_000):
    journal.add([{"item_id": f"i{number}"}])
    print(number, flush=True)
"""


def test_acknowledged_is_durable_and_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            last = int(writer.stdout.readline())
        with pytest.raises(ArtifactError, match=rf"state_dir of its own.*process {writer.pid} is using"):
            Journal(tmp_path)
        os.kill(writer.pid, signal.SIGKILL)
        last = max([last, *map(int, writer.stdout.read().split())])
    items = [row["item_id"] for row in Journal(tmp_path).added()]
    assert items[: last + 1] == [f"i{number}" for number in range(last + 1)]
    assert len(items) <= last + 2, "at most one that was written and not yet told"


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(ITEMS)
    journal._database.execute("PRAGMA max_page_count=1")  # SQLite's own word for a full disk
    with pytest.raises(ArtifactError, match="full; make room"):
        journal.add([{"item_id": "c"}, {"item_id": "d", "title": "x" * 100_000}])
    journal._database.execute("PRAGMA max_page_count=1000000")
    journal.mark(["a"], removed=True)
    journal.close()
    again = Journal(tmp_path)
    assert again.added() == ITEMS
    assert again.removed() == ["a"]


def test_damage_is_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add(ITEMS)
    journal.close()
    file = tmp_path / JOURNAL_FILE
    whole = file.read_bytes()
    for damaged in (whole.replace(b"title", b"tidle"), b"x" * len(whole)):
        file.write_bytes(damaged)
        with pytest.raises(ArtifactError, match="a journal of added and removed items"):
            Journal(tmp_path)
    file.write_bytes(whole)
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version=7")
    database.close()
    with pytest.raises(ArtifactError, match="schema 7"):
        Journal(tmp_path)
