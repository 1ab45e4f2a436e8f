"""The writes that are pending for the spool's file; used only by the spool's thread.

New messages, deletions and refusals are collected and written in one batch, so that a message that is on record within
the delay is never written. A failed write stays pending and is tried again.
"""

import logging
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from itertools import islice
from pathlib import Path
from typing import Final

from verbatim_record.recorder.entry import Entry
from verbatim_record.recorder.faults import CarefulLog, place_of
from verbatim_record.recorder.spool.disk import Disk
from verbatim_record.recorder.spool.ownership import Ownership
from verbatim_record.recorder.spool.repair import open_store
from verbatim_record.recorder.spool.sqlite_store import AT_ONCE, Left, SQLiteStore
from verbatim_record.setup_error import SetupError

RETRY_INTERVAL: Final = 1.0  # seconds until a failed write is tried again
READ_PATIENCE: Final = 60.0  # seconds in which later messages wait for earlier ones that cannot be read

log: Final = CarefulLog(logging.getLogger(__name__))


class PendingWrites:
    """The file at ``path``; it is flushed ``delay`` seconds after the oldest unwritten entry was recorded.

    ``saved`` counts the bytes that are no longer in memory alone, ``rows`` the messages on disk that are not on record.
    """

    def __init__(self, path: Path, *, delay: float, most_bytes: int) -> None:
        self._path = path
        self._delay = delay
        self._most_bytes = most_bytes
        self.saved = self.rows = 0
        self._new: dict[Entry, None] = {}
        self._gone: list[int] = []
        self._refused: list[Entry] = []
        self._read_to = 0
        self._since: float | None = None  # when the oldest pending write began to wait, by the monotonic clock
        self._failing = False
        self._unreadable_since: float | None = None  # by the monotonic clock
        self._opened = ExitStack()

    @property
    def wait(self) -> float | None:
        """Seconds until the next flush is due, at least 0; None if nothing is pending."""
        if self._since is None:
            return None
        return max(0.0, self._since + (RETRY_INTERVAL if self._failing else self._delay) - time.monotonic())

    def open(self, *, refused: bool) -> Left:
        """Open the file, take over the rows of recorders that have ended, and return their count.

        With ``refused`` also the refused ones. Raises SetupError if there cannot be such a file.
        """
        with ExitStack() as undo:
            try:
                self._ownership = Ownership.new(self._path)
                undo.callback(self._ownership.release)
                self._store = open_store(self._path, self._ownership.owner, self._most_bytes)
                undo.callback(self._store.close)
                self._file = self._path.stat().st_ino
                left = self._store.adopt(refused=refused)
                self._disk = Disk(self._path)
                undo.callback(self._disk.close)
            except (OSError, sqlite3.Error) as error:
                raise SetupError(f"The spool {self._path} cannot be opened: {error}.") from None
            self._opened = undo.pop_all()
        self.rows = left.ours
        return left

    def take(self, entry: Entry) -> None:
        """Schedule the writing of ``entry``, ``delay`` seconds after it was said."""
        self._note_work(time.time() - entry.at)
        self._new[entry] = None

    def refuse(self, refused: Iterable[tuple[Entry, str]]) -> None:
        """Schedule the storing of each refused entry's reason."""
        for entry, reason in refused:
            entry.reason = reason
            if entry.row is not None:
                self._refused.append(entry)
                self._note_work()

    def settle(self, entries: Iterable[Entry]) -> None:
        """Schedule the deletion of ``entries``, which are on record; those not written yet are never written."""
        for entry in entries:
            if entry.row is not None:
                self._gone.append(entry.row)
                self._note_work()
            elif entry in self._new:
                del self._new[entry]
                self.saved += entry.size

    def save(self) -> None:
        """Write everything that is pending; a failure is logged, and tried again after RETRY_INTERVAL."""
        try:
            try:
                while self._new:
                    self._insert(list(islice(self._new, AT_ONCE)))
                    self._disk.sync()
            finally:
                # Also if a full spool takes no new messages: those on record hold the room that these need.
                if self._gone:
                    self._store.delete(self._gone)
                    self.rows -= len(self._gone)
                    self._gone.clear()
            while self._refused:
                entry = self._refused[-1]
                self._store.refuse(entry.row, entry.reason)
                self.rows -= 1
                self._refused.pop()
        except sqlite3.Error as error:
            self._note_failure(error)
        else:
            self._failing = False
            self._since = None

    def save_at_the_end(self) -> None:
        """Save for the last time, and log how many messages no disk has; the caller may have ended by then."""
        try:
            self.save()
            with suppress(sqlite3.Error):  # it is logged
                for entry in [*self._new]:  # all at once did not fit, but some may: what is on record made room
                    self._insert([entry])
                    self._disk.sync()
        finally:
            if self._new:
                log.error(
                    "%(messages)d messages are kept nowhere: spool %(spool)s cannot be written",
                    {"spool": str(self._path), "messages": len(self._new)},
                )

    def read(self, limit: int, most_bytes: int) -> tuple[list[Entry], bool]:
        """Return the next entries that the writer does not have in memory, and whether there may be more.

        There are at most ``limit`` entries of ``most_bytes`` together. No entries but more of them means that the file
        cannot be read at the moment. After READ_PATIENCE seconds of that they are left to the next recorder.
        """
        self.save()
        try:
            entries = self._store.read(self._read_to, limit, most_bytes)
        except sqlite3.Error as error:
            if self._may_read_again(error):
                return [], True
            entries = []
        else:
            self._unreadable_since = None
        if entries:
            self._read_to = entries[-1].row or 0
            self.refuse([(entry, entry.reason) for entry in entries if entry.reason])
            return entries, True
        # Entries that could not be written are still in memory.
        unwritten = [entry for entry in self._new if not entry.kept]
        for entry in unwritten:
            entry.kept = True
        return unwritten, False

    def _may_read_again(self, error: sqlite3.Error) -> bool:
        now = time.monotonic()
        if self._unreadable_since is None:
            self._unreadable_since = now
            log.error(
                "spool %(spool)s cannot be read (%(why)s); its messages stay there",
                {"spool": str(self._path), "why": str(error)},
            )
        return now - self._unreadable_since < READ_PATIENCE

    def close(self) -> list[Entry]:
        """Write everything, close the file if it is open, and return the entries that could not be written."""
        with self._opened:
            try:
                self.save_at_the_end()
                self._carry_over()
            except Exception as error:  # noqa: BLE001 -- the ownership must be released in any case
                log.error(
                    "spool %(spool)s cannot be written: %(why)s", {"spool": str(self._path), "why": place_of(error)}
                )
        return list(self._new)

    def _carry_over(self) -> None:
        """Copy what is left into the spool of today, if another recorder has set this file aside as damaged.

        No recorder sends what was written to that file afterwards. What is copied twice has the same ids.
        """
        if not self._path.exists() or self._path.stat().st_ino == self._file:
            return
        with closing(SQLiteStore(self._path, self._ownership.owner, self._most_bytes)) as store:
            store.copy(self._store.own())

    def _insert(self, new: Sequence[Entry]) -> None:
        for entry, row in zip(new, self._store.insert(new), strict=True):
            entry.row = row
            del self._new[entry]
            self.saved += entry.size
            self.rows += entry.reason is None
            if entry.kept and entry.reason is None:  # a refused one may come behind others that must be read
                self._read_to = row

    def _note_failure(self, error: sqlite3.Error) -> None:
        if not self._failing:
            # SQLite's messages name files and pages, never their content.
            log.error(
                "spool %(spool)s cannot be written (%(why)s); %(messages)d messages wait in memory",
                {"spool": str(self._path), "why": str(error), "messages": len(self._new)},
            )
        self._failing = True
        self._since = time.monotonic()

    def _note_work(self, age: float = 0.0) -> None:
        """Start the timer of the next flush, unless it runs already, for an entry that is ``age`` seconds old."""
        if self._since is None:
            self._since = time.monotonic() - min(max(age, 0.0), self._delay)
