"""What is to be written to the spool's file, and what has been; the business of the spool's thread alone."""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from backend.errors import SetupError
from backend.recorder.disk import Disk
from backend.recorder.entry import Entry
from backend.recorder.ownership import Ownership
from backend.recorder.repair import open_store
from backend.recorder.sqlite_store import AT_ONCE, Left

AGAIN: Final = 1.0  # seconds until a write that failed is tried again

log = structlog.get_logger(__name__)


class PendingWrites:
    """Keeps the file at ``path``, and writes ``delay`` seconds after the first of what must be written came.

    ``saved`` counts the bytes that no longer are in memory alone, ``rows`` the messages on disk that are not on record.
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
        self._since: float | None = None  # when the first of what must be written came
        self._failing = False
        self._opened = ExitStack()

    @property
    def wait(self) -> float | None:
        """How many seconds there are until something has to be written, if anything has."""
        if self._since is None:
            return None
        return max(0.0, self._since + (AGAIN if self._failing else self._delay) - time.monotonic())

    def open(self, *, refused: bool) -> Left:
        """Open the file, and take over what recorders left that are gone; raises SetupError."""
        with ExitStack() as undo:
            try:
                self._ownership = Ownership.new(self._path)
                undo.callback(self._ownership.release)
                self._store = open_store(self._path, self._ownership.owner, self._most_bytes)
                undo.callback(self._store.close)
                left = self._store.adopt(refused=refused)
                self._disk = Disk(self._path)
                undo.callback(self._disk.close)
            except (OSError, sqlite3.Error) as error:
                raise SetupError(f"There can be no spool at {self._path}: {error}.") from None
            self._opened = undo.pop_all()
        self.rows = left.ours
        return left

    def take(self, entry: Entry) -> None:
        """Have ``entry`` written in time, counted from when it was said."""
        self._note_work(time.time() - entry.at)
        self._new[entry] = None

    def refuse(self, refused: Iterable[tuple[Entry, str]]) -> None:
        """Keep what was refused, with the reason."""
        for entry, reason in refused:
            entry.reason = reason
            if entry.row is not None:
                self._refused.append(entry)
                self._note_work()

    def settle(self, entries: Iterable[Entry]) -> None:
        """Forget what is on record; what is not written yet never will be."""
        for entry in entries:
            if entry.row is not None:
                self._gone.append(entry.row)
                self._note_work()
            elif entry in self._new:
                del self._new[entry]
                self.saved += len(entry.body)

    def save(self) -> None:
        """Write all that is to be written; what fails is tried again."""
        try:
            while self._new:
                self._insert(list(islice(self._new, AT_ONCE)))
                self._disk.sync()
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
            self._complain(error)
        else:
            self._failing = False
            self._since = None

    def read(self, limit: int, most_bytes: int) -> tuple[list[Entry], bool]:
        """Return what comes next of that which is not in memory, and whether there may be more."""
        self.save()
        try:
            entries = self._store.read(self._read_to, limit, most_bytes)
        except sqlite3.Error as error:
            log.error("spool cannot be read; what it holds is left there", spool=str(self._path), why=str(error))
            entries = []
        if entries:
            self._read_to = entries[-1].row or 0
            self.refuse([(entry, entry.reason) for entry in entries if entry.reason])
            return entries, True
        # What could not be written is not lost as long as there is memory.
        unwritten = [entry for entry in self._new if not entry.kept]
        for entry in unwritten:
            entry.kept = True
        return unwritten, False

    def close(self) -> list[Entry]:
        """Write all, close the file if it is open, and return what could not be written."""
        with self._opened:
            try:
                self.save()
            except Exception as error:  # it must not keep the claim from being released
                log.error("spool cannot be written", spool=str(self._path), exc_info=error)
        return list(self._new)

    def _insert(self, new: Sequence[Entry]) -> None:
        for entry, row in zip(new, self._store.insert(new), strict=True):
            entry.row = row
            del self._new[entry]
            self.saved += len(entry.body)
            self.rows += entry.reason is None
            if entry.kept:
                self._read_to = row

    def _complain(self, error: sqlite3.Error) -> None:
        if not self._failing:
            # SQLite's sentences speak of files and pages, never of what is in them.
            log.error("spool cannot be written", spool=str(self._path), why=str(error), messages=len(self._new))
        self._failing = True
        self._since = time.monotonic()

    def _note_work(self, age: float = 0.0) -> None:
        """Begin to count the time until something must be on disk, whose first came ``age`` seconds ago."""
        if self._since is None:
            self._since = time.monotonic() - min(max(age, 0.0), self._delay)
