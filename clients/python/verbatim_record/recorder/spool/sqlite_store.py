"""The spool's file: an SQLite database with the messages that are not on record yet, in their order.

It has a write-ahead log. A transaction is in the log before it commits, so the end of the process loses at most the
transaction that was being written; `disk` explains what a power failure loses. Each row has a checksum, so a row that a
failing disk has changed is detected and not sent. Deleted rows are overwritten (`secure_delete`), because they hold the
content of messages.

The file may be damaged, or made by another program. So no value is assumed to have the type that the schema names
(SQLite does not enforce it), a bounded size, or the form of an owner's name. A file with other tables, views or
triggers is refused, because SQLite would execute them.

Row numbers only rise, and every owner writes its rows in the order of recording. Rows that are taken over are older
than any row that their new owner writes. So the order of row numbers is the order of sending.
"""

import sqlite3
import stat
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from verbatim_record.recorder.entry import LONGEST_BODY, Entry
from verbatim_record.recorder.spool.ownership import Ownership

MARK: Final = 0x5642_5350  # SQLite's application_id, so that no other file is taken for a spool
BUSY: Final = 5.0  # seconds to wait for another process's transaction

_LOG_BYTES: Final = 2**20
PAGE: Final = 4096
AT_ONCE: Final = 500  # rows
DAMAGED: Final = "damaged on the disk"
NO_MESSAGE: Final = "no message"
HIGHEST_ROW: Final = 2**62  # far below SQLite's highest row number, 2^63 - 1
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
# NULL if the value has another type or is longer than any message.
TIME: Final = "CASE typeof(at) WHEN 'real' THEN at END"
BODY: Final = f"CASE WHEN typeof(body) = 'blob' AND length(body) <= {LONGEST_BODY} THEN body END"
CHECKSUM: Final = "CASE typeof(checksum) WHEN 'integer' THEN checksum END"
_LEFT: Final = f"""
    SELECT count(*) FILTER (WHERE owner = :owner), count(*) FILTER (WHERE owner <> :owner), min({TIME})
    FROM spool WHERE reason IS NULL
"""  # noqa: S608 -- made of constants
_ENDS: Final = """
    SELECT coalesce(min(row), 1), max(coalesce(max(row), 0), (
        SELECT coalesce(max(CAST(seq AS INTEGER)), 0) FROM sqlite_sequence WHERE name = 'spool'
    )) FROM spool
"""
_MARKED: Final = f"PRAGMA application_id = {MARK}"
_NEXT: Final = f"""
    SELECT row, {TIME}, {BODY}, {CHECKSUM} FROM spool
    WHERE owner = ? AND reason IS NULL AND row > ? ORDER BY row LIMIT ?
"""  # noqa: S608 -- made of constants

_OTHERS_MAY: Final = stat.S_IRWXG | stat.S_IRWXO
_MOST_BESIDE: Final = 1_000  # files in a folder of the spool's own


class Left(NamedTuple):
    """The messages to send, the messages of other running recorders, and when the oldest was said.

    ``since`` is in seconds since 1970, None without a message.
    """

    ours: int
    others: int
    since: float | None


class SQLiteStore:
    """An open spool with the rows of one ``owner``, for the thread that opened it; all methods raise sqlite3.Error."""

    def __init__(self, path: Path, owner: str, most_bytes: int) -> None:
        self._path = path
        self._owner = owner
        path.touch(mode=0o600)  # SQLite would create it readable for other users
        _make_private(path)
        self._file = connect(path)
        try:
            # SQLite enforces the limit: beyond it a transaction fails as on a full disk.
            self._file.execute(f"PRAGMA max_page_count = {max(most_bytes // PAGE, 8)}")
            self._file.execute(_SCHEMA)
            first, last = self._file.execute(_ENDS).fetchone()
            if first < 1 or last > HIGHEST_ROW:
                raise sqlite3.DatabaseError("its rows have numbers that no spool gives")
            # The first write into an empty log waits for the disk: better now than with a message.
            self._file.execute("PRAGMA user_version = 1")
        except sqlite3.Error:
            self._file.close()
            raise

    def insert(self, entries: Sequence[Entry]) -> range:
        """Add at most `AT_ONCE` rows in one statement, all or none, and return their numbers.

        Each call of SQLite releases the GIL, and getting it back from a busy event loop takes 5 ms (Python's switch
        interval).
        """
        values = [(self._owner, entry.at, entry.body, zlib.crc32(entry.body), entry.reason) for entry in entries]
        statement = _INSERT + ", ".join([_ROW] * len(entries))
        last = self._file.execute(statement, [*chain.from_iterable(values)]).lastrowid or 0
        return range(last - len(entries) + 1, last + 1)

    def delete(self, rows: Sequence[int]) -> None:
        """Delete the rows with these numbers."""
        self._file.execute("DELETE FROM spool WHERE row IN (SELECT value FROM json_each(?))", (str([*rows]),))

    def refuse(self, row: int | None, reason: str | None) -> None:
        """Store why a row was refused; it is not sent again."""
        self._file.execute("UPDATE spool SET reason = ? WHERE row = ?", (reason, row))

    def copy(self, rows: Iterable[Sequence[object]]) -> int:
        """Add rows of another spool, with their owners, all or none, and return how many."""
        with self._file:
            self._file.execute("BEGIN IMMEDIATE")
            return self._file.executemany(_INSERT + "(CAST(? AS TEXT), ?, ?, ?, CAST(? AS TEXT))", rows).rowcount

    def own(self) -> list[Sequence[object]]:
        """Return this owner's rows for `copy`, those behind the last one that cannot be read."""
        rows: list[Sequence[object]] = []
        with suppress(sqlite3.DatabaseError):
            rows.extend(
                self._file.execute(
                    "SELECT owner, at, body, checksum, reason FROM spool WHERE owner = ? ORDER BY row DESC",
                    (self._owner,),
                )
            )
        return rows[::-1]

    def read(self, after: int, limit: int, most_bytes: int) -> list[Entry]:
        """Return the next entries to send, with row numbers greater than ``after``.

        There are at most ``limit``, and reading stops when they have ``most_bytes``. A damaged row has a ``reason``.
        """
        entries: list[Entry] = []
        size = 0
        for row, at, body, checksum in self._file.execute(_NEXT, (self._owner, after, limit)):
            reason = _fault(body, checksum)
            at = time.time() if at is None else at  # noqa: PLW2901 -- only the message's age derives from it
            entries.append(Entry.of(b"" if reason else body, at, row=row, reason=reason))
            size += len(body or b"")
            if size >= most_bytes:
                break
        return entries

    def adopt(self, *, refused: bool = False) -> Left:
        """Take over the rows of recorders that have ended, and return the counts; with ``refused`` also refused rows.

        A recorder has its lock file before it writes a row. So an owner with rows and without a locked file has ended.
        Reading the lock files and updating the rows is one transaction, so no recorder adds a row in between.
        """
        again = "owner = ?, reason = NULL" if refused else "owner = ?"
        which = "" if refused else "AND reason IS NULL"
        with self._file:
            self._file.execute("BEGIN IMMEDIATE")
            living = orjson.dumps([self._owner, *self._others()]).decode()
            self._file.execute(
                f"UPDATE spool SET {again} WHERE owner NOT IN (SELECT value FROM json_each(?)) {which}",  # noqa: S608 -- both are ours
                (self._owner, living),
            )
        return Left(*self._file.execute(_LEFT, {"owner": self._owner}).fetchone())

    def _others(self) -> Iterator[str]:
        """Yield the other owners that are running, and remove the lock files of those that have ended."""
        for owner in Ownership.names(self._path) - {self._owner}:
            claim = None
            with suppress(OSError):  # it may belong to another user, or not be a file
                claim = Ownership.take(self._path, owner)
            if claim:
                claim.release()
            else:
                yield owner

    def close(self) -> None:
        """Close the file; the last process to close it removes the log."""
        self._file.close()


def connect(path: Path) -> sqlite3.Connection:
    """Open and configure the spool at ``path``, and return the connection.

    Raises sqlite3.DatabaseError if the file is damaged, and sqlite3.OperationalError if it is another database.
    """
    file = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=True)
    try:
        file.execute("PRAGMA trusted_schema = OFF")
        [(mark,)] = file.execute("PRAGMA application_id")
        if not is_ours(file, empty=mark != MARK):
            raise sqlite3.OperationalError("it is a database of something else")
        if mark != MARK:
            file.execute(_MARKED)  # before there is a log: later it would at first be in the log alone
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


def is_ours(file: sqlite3.Connection, *, empty: bool = False) -> bool:
    """Return whether the file has no table but the spool's, or none at all; with ``empty`` only the latter counts."""
    found = file.execute("SELECT type, sql FROM sqlite_schema WHERE name <> 'sqlite_sequence' LIMIT 2").fetchall()
    ours = [("table", " ".join(_SCHEMA.replace("IF NOT EXISTS ", "").split()))]
    return not found or (not empty and [(kind, " ".join((sql or "").split())) for kind, sql in found] == ours)


def _fault(body: bytes | None, checksum: int | None) -> str | None:
    """Return why a row cannot be sent, or None: it must match its checksum and be one JSON object."""
    if body is None or zlib.crc32(body) != checksum:
        return DAMAGED
    try:
        return None if isinstance(orjson.loads(body), dict) else NO_MESSAGE
    except orjson.JSONDecodeError:
        return NO_MESSAGE


def _make_private(path: Path) -> None:
    """Deny other users access to the file, to SQLite's files beside it, and to a folder that holds nothing else.

    Files and folders of another user stay as they are.
    """
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with suppress(FileNotFoundError, PermissionError):
            if stat.S_ISREG(each.lstat().st_mode) and each.lstat().st_mode & _OTHERS_MAY:
                each.chmod(0o600)
    folder = path.absolute().parent
    with suppress(PermissionError):
        mode = folder.stat().st_mode
        names = [each.name for each in islice(folder.iterdir(), _MOST_BESIDE)]
        own = len(names) < _MOST_BESIDE and all(name.startswith(path.name) for name in names)
        if own and mode & _OTHERS_MAY and not mode & stat.S_ISVTX:
            folder.chmod(0o700)
