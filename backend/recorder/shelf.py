"""The spool's file: messages that are not on record yet, in the order in which they were said.

SQLite with a write-ahead log. A transaction is in the log before it counts, so the end of the process costs at most the
one that was being written; `disk` says what the end of the machine costs. A row has a checksum of its own besides: what
a failing disk has changed is found out and not sent. What was deleted is overwritten (`secure_delete`), because it was
somebody's words.

The numbers of rows only ever rise, and every owner writes its rows in the order of its recording; rows that are taken
over are older than any that their new owner will write. So the number of a row is its place in line.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from backend.recorder.claim import Claim
from backend.recorder.entry import Entry
from backend.recorder.tail import is_half_written

MARK: Final = 0x5642_5350  # SQLite's application_id, so that no other file is taken for a spool
BUSY: Final = 5.0  # seconds that another process may take for its transaction

_LOG_BYTES: Final = 2**20
PAGE: Final = 4096
AT_ONCE: Final = 500  # rows
DAMAGED: Final = "damaged on the disk"
_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS spool (
        row INTEGER PRIMARY KEY AUTOINCREMENT,
        owner TEXT NOT NULL,
        at REAL NOT NULL,
        body BLOB NOT NULL,
        checksum INTEGER NOT NULL,
        reason TEXT
    )
"""
_INSERT: Final = "INSERT INTO spool (owner, at, body, checksum, reason) VALUES "
_ROW: Final = "(?, ?, ?, ?, ?)"
_LEFT: Final = """
    SELECT count(*) FILTER (WHERE owner = :owner), count(*) FILTER (WHERE owner <> :owner), min(at)
    FROM spool WHERE reason IS NULL
"""
_MARKED: Final = f"PRAGMA application_id = {MARK}"
_NEXT: Final = """
    SELECT row, at, body, checksum FROM spool WHERE owner = ? AND reason IS NULL AND row > ? ORDER BY row LIMIT ?
"""

log = structlog.get_logger(__name__)


class Left(NamedTuple):
    """How many messages are there to be sent, how many belong to recorders that live, and when the first was said."""

    ours: int
    others: int
    since: float | None


class Shelf:
    """An open file with the rows of one ``owner``. Belongs to the thread that opened it; raises sqlite3.Error."""

    def __init__(self, path: Path, owner: str, most_bytes: int) -> None:
        self._path = path
        self._owner = owner
        path.touch(mode=0o600)  # before SQLite makes it, for everybody to read
        self._file = connect(path)
        try:
            # The limit is SQLite's to keep: beyond it a transaction fails as on a full disk.
            self._file.execute(f"PRAGMA max_page_count = {max(most_bytes // PAGE, 8)}")
            self._look_at_the_tail()
            self._file.execute(_SCHEMA)
            # Whoever writes first into an empty log waits for the disk: better now than when somebody has spoken.
            self._file.execute("PRAGMA user_version = 1")
        except sqlite3.Error:
            self._file.close()
            raise

    def _look_at_the_tail(self) -> None:
        self._file.execute("BEGIN IMMEDIATE")  # nobody is writing now
        half_written = is_half_written(self._path)
        self._file.execute("END")
        if half_written:
            log.error("spool ends inside a transaction; what that held is lost", spool=str(self._path))

    def insert(self, entries: Sequence[Entry]) -> range:
        """Add at most `AT_ONCE` rows at the end, all or none, and return their numbers.

        In one statement. Each call of SQLite lets go of the interpreter, and to get it back from an event loop that
        computes costs five milliseconds.
        """
        values = [(self._owner, entry.at, entry.body, zlib.crc32(entry.body), entry.reason) for entry in entries]
        statement = _INSERT + ", ".join([_ROW] * len(entries))
        last = self._file.execute(statement, [*chain.from_iterable(values)]).lastrowid or 0
        return range(last - len(entries) + 1, last + 1)

    def delete(self, rows: Sequence[int]) -> None:
        """Forget what is on record."""
        self._file.execute("DELETE FROM spool WHERE row IN (SELECT value FROM json_each(?))", (str([*rows]),))

    def refuse(self, row: int | None, reason: str | None) -> None:
        """Write down why a row will not be sent again."""
        self._file.execute("UPDATE spool SET reason = ? WHERE row = ?", (reason, row))

    def copy(self, rows: Iterable[Sequence[object]]) -> None:
        """Add rows as they stood in another file, their owners' still."""
        self._file.execute("BEGIN IMMEDIATE")
        self._file.executemany(_INSERT + _ROW, rows)
        self._file.execute("COMMIT")

    def read(self, after: int, limit: int, most_bytes: int) -> list[Entry]:
        """Return what is to be sent next; what the disk has changed meanwhile comes with that as the ``reason``."""
        entries: list[Entry] = []
        size = 0
        for row, at, body, checksum in self._file.execute(_NEXT, (self._owner, after, limit)):
            sound = isinstance(body, bytes) and zlib.crc32(body) == checksum
            entries.append(Entry(body if sound else b"", at, row=row, reason=None if sound else DAMAGED))
            size += len(body)
            if size >= most_bytes:
                break
        return entries

    def adopt(self, *, refused: bool = False) -> Left:
        """Take over what recorders left that are gone; with ``refused`` also what was refused, to be tried again."""
        owners = {owner for (owner,) in self._file.execute("SELECT DISTINCT owner FROM spool")} | Claim.names(
            self._path
        )
        again = "owner = ?, reason = NULL" if refused else "owner = ?"
        which = "" if refused else "AND reason IS NULL"
        for owner in owners - {self._owner}:
            if claim := Claim.take(self._path, owner):
                self._file.execute(f"UPDATE spool SET {again} WHERE owner = ? {which}", (self._owner, owner))  # noqa: S608 -- both are ours
                claim.release()
        return Left(*self._file.execute(_LEFT, {"owner": self._owner}).fetchone())

    def close(self) -> None:
        """Close the file; whoever closes it last leaves no log beside it."""
        self._file.close()


def connect(path: Path) -> sqlite3.Connection:
    """Open the file as it has to be opened, and see that it is sound; raises sqlite3.DatabaseError when it is not."""
    file = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=True)
    try:
        [(mark,)] = file.execute("PRAGMA application_id")
        [(tables,)] = file.execute("SELECT count(*) FROM sqlite_schema")
        if mark != MARK and tables:
            raise sqlite3.OperationalError("it is a database of something else")
        if mark != MARK:
            file.execute(_MARKED)  # before there is a log: later it would be in that alone for a while
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")
        file.execute("PRAGMA wal_autocheckpoint = 0")
        file.execute("PRAGMA secure_delete = ON")
        file.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        [(verdict,)] = file.execute("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    except sqlite3.Error:
        file.close()
        raise
    return file
