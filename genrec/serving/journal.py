"""What was added and removed since a bundle was made, kept apart from it: a SQLite file that one process at a time owns.

A row is an item's newest state, so the file grows with the items and not with the calls. What a call has returned from is on
disk (WAL, synchronous=FULL), whatever happens to the process or the machine afterwards.

SQLite takes a damaged end of its log for one that a kill cut off and passes over it, and an empty file for a new database. So
the number of writes stands in the database and once more in the lock file beside it: a journal of fewer has lost some.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from genrec.errors import ArtifactError
from genrec.types import ITEM_ID

JOURNAL_FILE, LOCK_FILE = "journal.sqlite", "lock"
_SIGNED = 64  # bytes of the lock file: process and number of writes, always as long, so that no kill leaves half of it
_SCHEMA = 1
_COUNT = "CREATE TABLE IF NOT EXISTS writes (number INTEGER NOT NULL)"  # one row; older journals get it when they are opened
_TABLE = """
CREATE TABLE items (
    number INTEGER PRIMARY KEY,        -- in the order of arrival
    item_id TEXT UNIQUE NOT NULL,
    content TEXT,                      -- json of a row as it was added, or null: an item of the bundle
    removed INTEGER NOT NULL,
    checksum INTEGER NOT NULL
)
"""


class Journal:
    """Opens a journal, or starts one. Its calls must not overlap.

    Args:
        folder: made if it is not there; None: kept in memory.

    Raises:
        ArtifactError: when another process has it, or it cannot be used.
    """

    def __init__(self, folder: Path | None) -> None:
        self._where = str(folder or "state_dir")
        self._lock: int | None
        self._lock, known = (None, 0) if folder is None else _locked(folder)
        try:
            self._database, self._writes = self._opened(":memory:" if folder is None else folder / JOURNAL_FILE, known)
            self._sign()
        except BaseException:
            self._unlock()
            raise

    def _opened(self, file: Path | str, known: int) -> tuple[sqlite3.Connection, int]:
        """The database, and how many writes it knows of: at least ``known``."""
        fix = f"restore a copy, or remove {file} and {LOCK_FILE} beside it to start from the bundle alone"
        with self._told("a journal of added and removed items", fix):
            database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
            try:
                return database, _read(database, known)
            except BaseException:
                database.close()
                raise

    def added(self) -> list[dict[str, Any]]:
        """Content of every item that was ever added, removed ones included, in the order of arrival."""
        rows = self._database.execute("SELECT content FROM items WHERE content IS NOT NULL ORDER BY number")
        return [json.loads(content) for (content,) in rows]

    def removed(self) -> list[str]:
        """Ids of the items that are removed now."""
        return [item_id for (item_id,) in self._database.execute("SELECT item_id FROM items WHERE removed ORDER BY number")]

    def add(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Writes down that these items are there; removed ones are no longer removed. All of them or none.

        Raises:
            ArtifactError: when it cannot be written, such as on a full disk.
        """
        self._write((str(row[ITEM_ID]), json.dumps(dict(row), ensure_ascii=False, default=str), False) for row in items)

    def mark(self, item_ids: Iterable[str], *, removed: bool) -> None:
        """Writes down that these items are removed, or that they are not. All of them or none.

        Raises:
            ArtifactError: when it cannot be written, such as on a full disk.
        """
        self._write((item_id, None, removed) for item_id in item_ids)

    def _sign(self) -> None:
        """Tells the lock file who has it and how much there is; what cannot be told is not checked at the next start."""
        if self._lock is not None:
            with suppress(OSError):
                os.pwrite(self._lock, f"{os.getpid()} {self._writes}".ljust(_SIGNED).encode(), 0)

    def close(self) -> None:
        """Lets another process have it."""
        self._database.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _write(self, rows: Iterable[tuple[str, str | None, bool]]) -> None:
        with self._told("a journal that can be written", "make room, or give another state_dir"), _transaction(self._database):
            for item_id, content, removed in rows:
                before = self._database.execute("SELECT content FROM items WHERE item_id = ?", (item_id,)).fetchone()
                content = before[0] if before and before[0] is not None else content  # known items keep their content
                self._database.execute(
                    "INSERT INTO items (item_id, content, removed, checksum) VALUES (?, ?, ?, ?) ON CONFLICT (item_id)"
                    " DO UPDATE SET content = excluded.content, removed = excluded.removed, checksum = excluded.checksum",
                    (item_id, content, int(removed), _checksum(item_id, content, int(removed))),
                )
            self._database.execute("UPDATE writes SET number = number + 1")
        self._writes += 1
        self._sign()

    @contextmanager
    def _told(self, expected: str, fix: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ArtifactError(self._where, expected=expected, got=str(error), fix=fix) from error


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # a full disk may have ended it already
            database.execute("ROLLBACK")
        raise


def _read(database: sqlite3.Connection, known: int) -> int:
    """Makes the tables of a new journal, or checks those of an older one; returns how many writes there were."""
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    (schema,) = database.execute("PRAGMA user_version").fetchone()
    if schema not in (0, _SCHEMA):
        raise sqlite3.DatabaseError(f"schema {schema}")
    with _transaction(database):
        if schema == 0:
            database.execute(_TABLE)
            database.execute(f"PRAGMA user_version={_SCHEMA}")
        database.execute(_COUNT)
        database.execute("INSERT INTO writes SELECT 0 WHERE NOT EXISTS (SELECT * FROM writes)")
    (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(found)
    for *row, checksum in database.execute("SELECT item_id, content, removed, checksum FROM items"):
        if _checksum(*row) != checksum:
            raise sqlite3.DatabaseError(f"a damaged row for {row[0]}")
    (writes,) = database.execute("SELECT number FROM writes").fetchone()
    if writes < known:
        raise sqlite3.DatabaseError(f"one of {writes} writes where there were {known}")
    return int(writes)


def _locked(folder: Path) -> tuple[int, int]:
    """Holds the folder for this process, and reads how many writes there were; the system lets go of it on any death."""
    handle = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        signed = _signed(handle)
    except OSError as error:
        got = str(error)
        if handle is not None:
            got = f"one that process {_signed(handle)[0]} is using" if isinstance(error, BlockingIOError) else got
            os.close(handle)
        fix = "stop that process, or give each its own state_dir"
        raise ArtifactError(folder, expected="a state_dir of its own that can be written", got=got, fix=fix) from error
    return handle, int(signed[1]) if signed[1].isdecimal() else 0


def _signed(handle: int) -> list[str]:
    """Process and number of writes, as a lock file has them."""
    return [*os.pread(handle, _SIGNED, 0).decode(errors="replace").split(), "unknown", "unknown"][:2]


def _checksum(item_id: str, content: str | None, removed: int) -> int:
    return zlib.crc32(json.dumps([item_id, content, removed]).encode())
