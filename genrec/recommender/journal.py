"""Records what was added, updated and removed since a bundle was made, in a SQLite file that one process at a time owns.

A row is the newest state of an item, so the file grows with the items and not with the calls. When a call returns, its change
is on disk (WAL, synchronous=FULL), whatever happens to the process or the machine afterwards.

SQLite ignores a damaged end of its log, and takes an empty file for a new database. So the number of writes is in the database
and also in the lock file beside it: a journal with fewer writes than the lock file says has lost some.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genrec.engine.store_files import Lock, holder
from genrec.errors import ArtifactError
from genrec.types import ITEM_ID

JOURNAL_FILE, LOCK_FILE, HELD_FILE = "journal.sqlite", "lock", "lock.held"  # LOCK_FILE has the number, HELD_FILE is locked
_SIGNED = 64  # bytes of the lock file: process and number of writes, always as long, so that no kill leaves half of it
_SCHEMA = 2  # 1: content only of items that were added, never changed; such journals are brought up to 2 when they are opened
_COUNT = "CREATE TABLE IF NOT EXISTS writes (number INTEGER NOT NULL)"  # one row; older journals get it when they are opened
_COLUMNS = """
    number INTEGER PRIMARY KEY,         -- in the order of arrival
    item_id TEXT UNIQUE NOT NULL,
    content TEXT,                       -- json of what was said of the item, the newest of each column; null: nothing
    removed INTEGER NOT NULL,           -- 0, or why: REMOVED, ABSENT
    checksum INTEGER NOT NULL,
    added INTEGER NOT NULL DEFAULT 0,   -- it came by a call, not with a bundle
    updated INTEGER NOT NULL DEFAULT 0, -- a call changed it
    basis TEXT,                         -- json of the content by which it has its ID; null: content, or the bundle's
    codes TEXT                          -- json of the ID it got, and of the layout that this is one of
"""
_TABLE = f"CREATE TABLE items ({_COLUMNS})"
_NEWER = (
    "added INTEGER NOT NULL DEFAULT 0",
    "updated INTEGER NOT NULL DEFAULT 0",
    "basis TEXT",
    "codes TEXT",
)  # columns that 1 lacks
_NAMES = "item_id, content, removed, added, updated, basis, codes"
_PUT = f"""
INSERT INTO items ({_NAMES}, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (item_id) DO UPDATE SET
    content = excluded.content, removed = excluded.removed, added = excluded.added, updated = excluded.updated,
    basis = excluded.basis, codes = excluded.codes, checksum = excluded.checksum
"""

REMOVED, ABSENT = 1, 2  # taken down; missing from a feed of the full catalogue


@dataclass(frozen=True)
class Entry:
    """The newest state of one item.

    Args:
        item_id: of the item.
        content: its content, column by column; None: none was given.
        removed: 0, ``REMOVED`` or ``ABSENT``.
        added: whether it came by a call.
        updated: whether a call changed its content.
        basis: the content that its ID was made from, where that is not ``content`` or the bundle's.
        codes: the ID that a call gave it, under ``codes``, and the layout of that ID, under ``layout``.
    """

    item_id: str
    content: Mapping[str, Any] | None = None
    removed: int = 0
    added: bool = False
    updated: bool = False
    basis: Mapping[str, Any] | None = None
    codes: Mapping[str, Any] | None = None

    def _row(self) -> tuple[Any, ...]:
        return (
            self.item_id,
            _json(self.content),
            int(self.removed),
            int(self.added),
            int(self.updated),
            _json(self.basis),
            _json(self.codes),
        )


@dataclass
class Writing:
    """The content of one transaction, item by item. Nothing is on disk before ``Journal.write``.

    Args:
        entries: the items that it changes, as they will be.
    """

    journal: Journal
    entries: dict[str, Entry] = field(default_factory=dict)

    def entry(self, item_id: str) -> Entry:
        """Returns an item as it will be."""
        return self.entries.get(item_id) or self.journal.entry(item_id) or Entry(item_id)

    def add(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Adds items, unless they are there. Removed items stay removed."""
        for row in items:
            entry = self.entry(str(row[ITEM_ID]))
            if not entry.added:
                self.entries[entry.item_id] = replace(entry, content=dict(row) | dict(entry.content or {}), added=True)

    def update(self, items: Iterable[Mapping[str, Any]], *, reassign: bool = False) -> None:
        """Gives known items the content that their rows name. Their IDs stay, or follow the new content."""
        for row in items:
            entry = self.entry(str(row[ITEM_ID]))
            content = {**(entry.content or {}), **row}
            basis = content if reassign else entry.basis or (entry.content if entry.added else None)
            self.entries[entry.item_id] = replace(entry, content=content, updated=True, basis=basis)

    def name(self, codes: Mapping[str, list[int]], layout: str) -> None:
        """Gives items their IDs of a layout."""
        for item_id, item_codes in codes.items():
            self.entries[item_id] = replace(self.entry(item_id), codes={"layout": layout, "codes": item_codes})

    def mark(self, item_ids: Iterable[str], *, removed: bool | int) -> None:
        """Marks items as removed, or as not removed."""
        for item_id in item_ids:
            self.entries[item_id] = replace(self.entry(item_id), removed=int(removed))


class Journal:
    """Opens a journal, or starts one. Its calls must not overlap.

    Args:
        folder: created if it does not exist; None: the journal is in memory only.

    Raises:
        ArtifactError: when another process has it, or it cannot be used.
    """

    def __init__(self, folder: Path | None) -> None:
        self._where = str(folder or "state_dir")
        self._lock: Lock | None
        self._folder = folder
        self._lock, num_signed = (None, 0) if folder is None else _lock_folder(folder)
        try:
            self._database, self._writes = self._open_database(
                ":memory:" if folder is None else folder / JOURNAL_FILE, num_signed
            )
            self._sign()
        except BaseException:
            self._unlock()
            raise

    def _open_database(self, file: Path | str, num_signed: int) -> tuple[sqlite3.Connection, int]:
        """Opens the database and returns the number of its writes, which is at least ``num_signed``."""
        fix = f"restore a copy, or remove {file} and {LOCK_FILE} beside it to start from the bundle alone"
        with self._as_artifact_error("a journal of added and removed items", fix):
            database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
            try:
                return database, _read(database, num_signed)
            except BaseException:
                database.close()
                raise

    def entries(self) -> list[Entry]:
        """Returns every item of the journal, in the order of arrival."""
        return [_entry(row) for row in self._database.execute(f"SELECT {_NAMES} FROM items ORDER BY number")]

    def entry(self, item_id: str) -> Entry | None:
        """Returns one item of the journal, or None."""
        with self._as_artifact_error("a journal that can be written", "make room, or give another state_dir"):
            row = self._database.execute(f"SELECT {_NAMES} FROM items WHERE item_id = ?", (item_id,)).fetchone()
        return None if row is None else _entry(row)

    def added(self) -> list[dict[str, Any]]:
        """Returns the content of every item that was ever added, also of removed ones, in the order of arrival."""
        return [dict(entry.content or {}) for entry in self.entries() if entry.added]

    def removed(self) -> list[str]:
        """Returns the ids of the items that are removed."""
        return [entry.item_id for entry in self.entries() if entry.removed]

    def add(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Writes down that these items came. Items that are there already do not change. All are written or none.

        Raises:
            ArtifactError: when it cannot be written, such as on a full disk.
        """
        writing = self.writing()
        writing.add(items)
        self.write(writing)

    def update(self, items: Iterable[Mapping[str, Any]], *, reassign: bool = False) -> None:
        """Writes down other content of known items. All are written or none.

        Raises:
            ArtifactError: when it cannot be written, such as on a full disk.
        """
        writing = self.writing()
        writing.update(items, reassign=reassign)
        self.write(writing)

    def mark(self, item_ids: Iterable[str], *, removed: bool | int) -> None:
        """Writes down that these items are removed, or that they are not. All are written or none.

        Raises:
            ArtifactError: when it cannot be written, such as on a full disk.
        """
        writing = self.writing()
        writing.mark(item_ids, removed=removed)
        self.write(writing)

    def writing(self) -> Writing:
        """Returns an empty transaction."""
        return Writing(self)

    def write(self, writing: Writing) -> None:
        """Writes all of a transaction, or nothing of it.

        Raises:
            ArtifactError: when it cannot be written, such as on a full disk.
        """
        with (
            self._as_artifact_error("a journal that can be written", "make room, or give another state_dir"),
            _transaction(self._database),
        ):
            for entry in writing.entries.values():
                row = entry._row()
                self._database.execute(_PUT, (*row, _checksum(*row)))
            self._database.execute("UPDATE writes SET number = number + 1")
        self._writes += 1
        self._sign()

    def _sign(self) -> None:
        """Writes process and number of writes to the lock file. If that fails, the next start does not check the number."""
        if self._lock is not None and self._folder is not None:
            with suppress(OSError), open(os.open(self._folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
                file.write(f"{os.getpid()} {self._writes}".ljust(_SIGNED).encode())

    def close(self) -> None:
        """Lets another process have it."""
        self._database.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.free()
            self._lock = None

    @contextmanager
    def _as_artifact_error(self, expected: str, fix: str) -> Iterator[None]:
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


def _read(database: sqlite3.Connection, num_signed: int) -> int:
    """Creates the tables of a new journal or checks those of an older one, and returns the number of writes."""
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    (schema,) = database.execute("PRAGMA user_version").fetchone()
    if schema not in range(_SCHEMA + 1):
        raise sqlite3.DatabaseError(f"schema {schema}")
    (verdict,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    with _transaction(database):
        if schema == 0:
            database.execute(_TABLE)
        elif schema == 1:
            _bring_up(database)
        if schema != _SCHEMA:
            database.execute(f"PRAGMA user_version={_SCHEMA}")
        database.execute(_COUNT)
        database.execute("INSERT INTO writes SELECT 0 WHERE NOT EXISTS (SELECT * FROM writes)")
    for *row, checksum in database.execute(f"SELECT {_NAMES}, checksum FROM items"):
        if _checksum(*row) != checksum:
            raise sqlite3.DatabaseError(f"a damaged row for {row[0]}")
    (writes,) = database.execute("SELECT number FROM writes").fetchone()
    if writes < num_signed:
        raise sqlite3.DatabaseError(f"one of {writes} writes where there were {num_signed}")
    return int(writes)


def _bring_up(database: sqlite3.Connection) -> None:
    """Upgrades a journal of schema 1, in which what had content was added and no content ever changed."""
    rows = database.execute("SELECT item_id, content, removed, checksum FROM items").fetchall()
    for item_id, content, removed, checksum in rows:
        if _crc([item_id, content, removed]) != checksum:
            raise sqlite3.DatabaseError(f"a damaged row for {item_id}")
    for column in _NEWER:
        database.execute(f"ALTER TABLE items ADD COLUMN {column}")
    for item_id, content, removed, _ in rows:
        row = (item_id, content, removed, int(content is not None), 0, None, None)
        database.execute("UPDATE items SET added = ?, checksum = ? WHERE item_id = ?", (row[3], _checksum(*row), item_id))


def _lock_folder(folder: Path) -> tuple[Lock, int]:
    """Locks the folder for this process, and reads the number of writes. The system releases the lock on any death."""
    lock = Lock(folder / HELD_FILE)
    try:
        if lock.take():
            os.close(os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666))
            signed = (folder / LOCK_FILE).read_bytes()[:_SIGNED].decode(errors="replace").split()
            return lock, int(signed[1]) if len(signed) > 1 and signed[1].isdecimal() else 0
        got = f"one that {holder(folder / HELD_FILE)} is using"
    except OSError as error:
        lock.free()
        got = str(error)
    fix = "stop that process, or give each its own state_dir"
    raise ArtifactError(folder, expected="a state_dir of its own that can be written", got=got, fix=fix)


def _entry(row: tuple[Any, ...]) -> Entry:
    item_id, content, removed, added, updated, basis, codes = row
    return Entry(item_id, _dict(content), removed, bool(added), bool(updated), _dict(basis), _dict(codes))


def _json(content: Mapping[str, Any] | None) -> str | None:
    return None if content is None else json.dumps(dict(content), ensure_ascii=False, default=str)


def _dict(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json.loads(text)


def _checksum(*row: Any) -> int:
    return _crc(list(row))


def _crc(row: list[Any]) -> int:
    return zlib.crc32(json.dumps(row).encode())
