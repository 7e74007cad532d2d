"""No room, a broken disk, folders that may only be read: one line, nothing half made, and the same command goes on."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import toy_pipeline
from ledger import Ledger
from test_resume import PATH_METHODS, contents

from genrec.cli import main
from genrec.engine.config import compose
from genrec.engine.runs import Run
from genrec.recommender.journal import JOURNAL_FILE, Journal

REFUSALS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES)
WRITING = (("open", "replace", "rename", "fsync", "pwrite", "ftruncate"), ("rmtree", "copytree"), PATH_METHODS[:-1])


class Disk:
    """Refuses the ``deadly``-th thing that is asked of it."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int) -> None:
        self.count, self.deadly, self.number, self.refused = 0, -1, number, False
        for owner, names in zip((os, shutil, Path), WRITING, strict=True):
            for name in names:
                patch.setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, original: Any) -> Any:
        def call(*args: Any, **more: Any) -> Any:
            self.count += 1
            if self.count == self.deadly:
                self.refused = True
                raise OSError(self.number, os.strerror(self.number), str(args[0]) if args else None)
            return original(*args, **more)

        return call


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[toy_pipeline.Built]:
    with toy_pipeline.importable(tmp_path):
        monkeypatch.setattr(os, "fsync", lambda handle: None)
        yield toy_pipeline.install(monkeypatch, tmp_path)


def test_a_disk_that_refuses_once_at_any_moment_of_a_run(
    toy: toy_pipeline.Built,
    tmp_path: Path,
    ledger: Ledger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def words(name: str) -> list[str]:
        """Of the command; what they compose to is worked out here once, since hydra takes longer than the run."""
        config = replace(settings, tree={**settings.tree, "paths": {"runs": str(tmp_path / name)}})
        monkeypatch.setattr("genrec.engine.sweep.compose", lambda overrides: config)
        return ["train"]

    settings = compose()
    with pytest.MonkeyPatch.context() as patch:
        counted = Disk(patch, errno.EIO)
        assert main(words("straight")) == 0
    expected = contents(Run(tmp_path / "straight" / "default"))
    assert counted.count > 60
    for deadly in range(1, counted.count + 1):
        command, run = words(f"refused{deadly}"), Run(tmp_path / f"refused{deadly}" / "default")
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, REFUSALS[deadly % len(REFUSALS)])
            disk.deadly = deadly
            capsys.readouterr()
            code = main(command)
        told = capsys.readouterr().err
        if not disk.refused:
            continue
        ledger.inject(f"disk: {errno.errorcode[disk.number]}")
        if code:  # what is only tidied up may be refused: the run goes on
            ledger.told_by_command(deadly, code, told, os.strerror(disk.number))
        ledger.kept(f"the command after refusal {deadly}", main(command) == 0)
        ledger.kept(f"the run after refusal {deadly}", contents(run) == expected)


class Statements(sqlite3.Connection):
    """A database whose ``deadly``-th statement, counted from ``count = 0``, ends as on a disk that is full or broken."""

    deadly, count, words = -1, 0, ""

    def execute(self, *args: Any) -> sqlite3.Cursor:
        Statements.count += 1
        if Statements.count == Statements.deadly:
            raise sqlite3.OperationalError(Statements.words)
        return super().execute(*args)


def test_a_journal_whose_disk_refuses_a_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    """What fails leaves nothing behind, what had been acknowledged stays, and the journal goes on."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **more, factory=Statements))
    journal = Journal(tmp_path)
    acknowledged: list[str] = []
    for number in range(40):
        rows = [{"item_id": f"i{number}a"}, {"item_id": f"i{number}b"}]
        Statements.count, Statements.deadly = 0, 1 + number % 8
        Statements.words = ("database or disk is full", "disk I/O error", "attempt to write a readonly database")[number % 3]
        told = ledger.told(f"write {number}", lambda: journal.add(rows), str(tmp_path))  # noqa: B023
        Statements.deadly = -1
        ledger.inject("journal: statement refused", told is not None)
        acknowledged += [] if told else [row["item_id"] for row in rows]
        ledger.kept(f"write {number}", [row["item_id"] for row in journal.added()] == acknowledged)
        journal.mark(["x"], removed=bool(number % 2))
    journal.close()
    again = Journal(tmp_path)
    ledger.kept("after a restart", [row["item_id"] for row in again.added()] == acknowledged and again.removed() == ["x"])
    again.close()


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of its own, so that it is really full; only where this machine lets us make one."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip(f"mount: {made.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_journal_on_a_disk_that_is_really_full(tmp_path: Path, ledger: Ledger) -> None:
    with small_disk(tmp_path / "small", 200) as folder:
        journal, acknowledged = Journal(folder), 0
        for number in range(100):
            told = ledger.told(number, lambda: journal.add([{"item_id": f"i{number}", "t": "x" * 9000}]), "make room")  # noqa: B023
            ledger.inject("journal: disk really full", told is not None)
            acknowledged += told is None
            if told and ledger.faults["journal: disk really full"] == 5:
                break
        ledger.kept("while full", len(journal.added()) == acknowledged)
        assert 0 < acknowledged < 100
        journal.close()
        assert (folder / JOURNAL_FILE).stat().st_size
        again = Journal(folder)
        ledger.kept("after a restart", len(again.added()) == acknowledged)
        again.close()


def test_a_run_on_a_disk_that_is_really_full_and_then_read_only(
    toy: toy_pipeline.Built, tmp_path: Path, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "small", 400) as folder:
        filling = folder / "filling"
        for free in range(0, 400, 16):  # kilobytes
            shutil.rmtree(folder / "runs", ignore_errors=True)
            filling.write_bytes(b"")
            while True:
                try:
                    with filling.open("ab") as file:
                        file.write(b"x" * 1024)
                except OSError:
                    break
            os.truncate(filling, max(filling.stat().st_size - free * 1024, 0))
            capsys.readouterr()
            code = main(["train", f"paths.runs={folder}/runs"])
            if not code:
                break
            ledger.inject("run: disk really full")
            ledger.told_by_command(f"{free} KB free", code, capsys.readouterr().err, "No space left on device")
        filling.unlink()
        assert main(["train", f"paths.runs={folder}/runs"]) == 0
        made = contents(Run(folder / "runs" / "default"))
        if subprocess.run(["mount", "-o", "remount,ro", str(folder)], capture_output=True).returncode:
            return
        try:
            capsys.readouterr()
            for words in (["train", "train.rate=0.5"], ["train", "name=other"]):
                ledger.inject("run: read-only file system")
                code = main([*words, f"paths.runs={folder}/runs"])
                ledger.told_by_command(words, code, capsys.readouterr().err, "Read-only file system")
            assert main(["show", str(folder / "runs" / "default")]) == 0, "looking needs no writing"
            assert main(["train", "--plan", f"paths.runs={folder}/runs"]) == 0
            ledger.refused(
                "journal: read-only file system", "opened", lambda: Journal(folder / "state"), "Read-only file system"
            )
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        ledger.kept("the run", contents(Run(folder / "runs" / "default")) == made)
